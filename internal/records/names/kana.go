package names

import "strings"

// kanaRows spells the kana of the syllabary's rows, in the order a i u e o, by
// modified Hepburn; a second spelling stands for a sound of foreign names that
// kana does not tell apart.
var kanaRows = []struct{ kana, main, other string }{
	{"アイウエオ", "a i u e o", ""}, {"カキクケコ", "ka ki ku ke ko", ""}, {"ガギグゲゴ", "ga gi gu ge go", ""},
	{"サシスセソ", "sa shi su se so", ""}, {"ザジズゼゾ", "za ji zu ze zo", ""}, {"タチツテト", "ta chi tsu te to", ""},
	{"ダヂヅデド", "da ji zu de do", ""}, {"ナニヌネノ", "na ni nu ne no", ""}, {"ハヒフヘホ", "ha hi fu he ho", ""},
	{"バビブベボ", "ba bi bu be bo", "va vi vu ve vo"}, {"パピプペポ", "pa pi pu pe po", ""}, {"マミムメモ", "ma mi mu me mo", ""},
	{"ラリルレロ", "ra ri ru re ro", "la li lu le lo"}, {"ヤユヨワン", "ya yu yo wa n", ""}, {"ァィゥェォ", "a i u e o", ""},
	{"ャュョヮヴ", "ya yu yo wa vu", ""}, {"ヲッーヶヵ", "o - - ka ka", ""},
}

func init() {
	for _, row := range kanaRows {
		main, other := strings.Fields(row.main), strings.Fields(row.other)
		i := 0
		for _, k := range row.kana {
			s := main[i]
			if s == "-" {
				s = ""
			}
			alternatives := []string{s}
			if len(other) > 0 {
				alternatives = append(alternatives, other[i])
			}
			spellings[k] = alternatives
			// Hiragana stand 0x60 below katakana (Unicode Standard, Section 18.4).
			if k != 'ー' {
				spellings[k-0x60] = alternatives
			}
			i++
		}
	}
}
