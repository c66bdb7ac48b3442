package names

import (
	"slices"
	"strings"
	"unicode"

	"github.com/mozillazg/go-pinyin"
)

// maxHanReadings bounds the readings of one character that are tried.
const maxHanReadings = 2

// compoundFamily are the commonest Chinese family names of two characters.
var compoundFamily = map[string]bool{
	"欧阳": true, "歐陽": true, "司马": true, "司馬": true, "上官": true, "诸葛": true, "諸葛": true, "司徒": true, "皇甫": true, "尉迟": true, "长孙": true, "慕容": true, "夏侯": true, "东方": true, "令狐": true, "宇文": true,
}

// pinyinOf returns the Mandarin readings of a character in plain letters, the
// most usual first.
func pinyinOf(r rune) []string {
	dict, ok := pinyin.PinyinDict[int(r)]
	if !ok {
		return nil
	}
	var out []string
	for reading := range strings.SplitSeq(dict, ",") {
		s := plainLetters(reading)
		if s != "" && !slices.Contains(out, s) {
			out = append(out, s)
		}
		if len(out) == maxHanReadings {
			break
		}
	}
	return out
}

func isHan(r rune) bool { return unicode.Is(unicode.Han, r) }
