package names

// particles are words beside a name that registers write or omit at will. A
// word stands here only if dropping it rarely makes two people one.
var particles = wordSet(
	// Arabic article and filiation, in the usual romanisations.
	"al", "el", "ul", "il", "as", "ash", "ad", "an", "ar", "at", "az", "bin", "ben", "ibn", "bint", "binti", "ould", "uld",
	// Romance, Germanic and Celtic particles.
	"de", "del", "della", "di", "da", "do", "dos", "das", "du", "des", "la", "las", "le", "les", "los", "lo", "y", "e", "i",
	"von", "van", "vom", "zu", "zum", "zur", "der", "den", "ter", "ten", "af", "av",
	// Titles and honorifics.
	"mr", "mrs", "ms", "miss", "dr", "prof", "sir", "sr", "jr", "haji", "hajji", "hadji", "hajj", "alhaj", "mullah", "mulla", "maulana",
	"mawlawi", "maulvi", "mawlavi", "sheikh", "shaykh", "sheik", "shaikh", "cheikh", "qari", "ustad", "imam", "ayatollah",
	"general", "gen", "colonel", "col", "major", "captain", "lt",
	// Generations.
	"junior", "senior", "ii", "iii", "iv",
)

func wordSet(words ...string) map[string]bool {
	m := make(map[string]bool, len(words))
	for _, w := range words {
		m[w] = true
	}
	return m
}
