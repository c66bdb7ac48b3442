package names

import "unicode/utf8"

// Phonetic returns a key between a word and its Skeleton: the classes of its
// consonants with its vowels reduced to three, so that Musa and Moussa, Kareem
// and Karim, Azizi and Azizy agree, but Ali and Lee do not. A run of vowels
// counts as its first; h is silent. Only the empty string gives the empty
// string.
func Phonetic(word string) string {
	return string(AppendPhonetic(nil, word))
}

// AppendPhonetic appends Phonetic(word) to dst.
func AppendPhonetic(dst []byte, word string) []byte {
	head := len(dst)
	var last byte
	inVowels := false
	for i := 0; i < len(word); {
		if v := vowelClass(word, i); v != 0 {
			if !inVowels {
				dst = append(dst, v)
			}
			inVowels, last = true, v
			i++
			continue
		}
		sound, n := consonant(word, i)
		i += n
		if sound == "" {
			// A silent letter between vowels does not make them two.
			continue
		}
		inVowels = false
		if len(sound) == 1 && sound[0] == last {
			continue
		}
		dst = append(dst, sound...)
		last = sound[len(sound)-1]
	}
	if len(dst) == head && word != "" {
		_, n := utf8.DecodeRuneInString(word)
		dst = append(dst, word[:n]...)
	}
	return dst
}

// vowelClass returns the class of the vowel at word[i], or 0.
func vowelClass(word string, i int) byte {
	switch word[i] {
	case 'a':
		return 'a'
	case 'e':
		if i+1 < len(word) && word[i+1] == 'e' {
			return 'i'
		}
		return 'a'
	case 'i', 'y':
		return 'i'
	case 'o', 'u':
		return 'u'
	}
	return 0
}
