package names

import "strings"

// eastAsianFamilies are the commonest Korean and Chinese family names in the
// usual romanisations. They tell a name whose given name has two syllables,
// which registers write as one word, two, or with a hyphen.
var eastAsianFamilies = wordSet(
	// Korean.
	`kim gim lee rhee yi ri park pak bak choi choe chung jung jeong chong kang gang cho jo yoon yun jang chang im lim rim han oh seo suh so shin
	sin kwon gwon hwang ahn song ryu yoo yu ryoo hong jeon jun chon ko moon mun son sohn yang bae pae paek baek ho heo hur nam roh ha kwak gwak
	sung seong cha joo chu ju woo ku koo gu min jin chin om um eom won byun pyon byon hyon hyun pang bang kil gil chae pyo myong kye no`,
	// Chinese, in pinyin.
	`wang li zhang liu chen zhao huang zhou wu xu sun hu zhu gao lin he guo ma luo liang zheng xie tang feng dong xiao cheng cao yuan deng fu shen
	zeng peng lu su jiang cai jia ding wei xue ye yan pan du dai xia zhong tian ren fan fang shi yao tan liao zou xiong hao kong bai cui mao qiu qin
	gu hou shao meng long wan duan qian yin`,
	// Chinese, in Wade-Giles and as in Hong Kong.
	`wong chan cheung lau leung lam tsang tse chow chiang hsieh hsu kuo chou tsao tsai yeh tung teng hsiao fung kwok yip lui yeung hui fong mak tam
	chao tsui tsou kuang`,
)

// joinSyllables joins, in place, the two syllables of a Korean or Chinese given
// name, where three words are a family name and two syllables. Where the first
// and the last could be the family name, the last is taken for it.
func joinSyllables(tokens []Token) []Token {
	if len(tokens) != 3 {
		return tokens
	}
	for _, t := range tokens {
		if len(t.Spellings) != 1 || t.Words != 1 {
			return tokens
		}
	}
	switch {
	case eastAsianFamilies[tokens[2].Spellings[0]]:
		if isSyllable(tokens[0].Spellings[0]) && isSyllable(tokens[1].Spellings[0]) {
			return append(tokens[:0], tokens[0].join(tokens[1]), tokens[2])
		}
	case eastAsianFamilies[tokens[0].Spellings[0]]:
		if isSyllable(tokens[1].Spellings[0]) && isSyllable(tokens[2].Spellings[0]) {
			return append(tokens[:1], tokens[1].join(tokens[2]))
		}
	}
	return tokens
}

// isSyllable reports whether a word is one syllable of the shape that Korean
// and Chinese have: at most three consonants, vowels, at most one more sound.
func isSyllable(s string) bool {
	if len(s) > 6 {
		return false
	}
	rest := strings.TrimLeft(s, "bcdfghjklmnpqrstvxz")
	vowels := strings.TrimLeft(rest, "aeiouyw")
	if len(s)-len(rest) > 3 || len(vowels) == len(rest) {
		return false
	}
	switch vowels {
	case "", "n", "ng", "m", "k", "g", "l", "r", "p", "b", "t", "s", "h":
		return true
	}
	return false
}
