package names

import (
	"encoding/csv"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestSpellings checks one name of each script against the spelling that its
// table's source gives, and against others in use.
func TestSpellings(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, main, others string }{
		{"Щербаков", "shcherbakov", "shterbakov"},
		{"Юлия Ґалаґан", "iuliia galagan", ""},
		{"Хрущёв", "khrushchev", "hrushchev khrushchyov"},
		{"Джохар", "jokhar", "johar gohar"},
		{"Уильям", "uiliam", "wiliam"},
		{"Ђорђевић", "djordjevic", "djordjevich"},
		{"Παπαδόπουλος", "papadopulos", ""},
		{"Μπακογιάννη", "bakogianni", "mpakogianni bakoyianni"},
		{"محمد بن سلمان", "muhammad slman", ""},
		{"المصري", "msri", ""},
		{"وليد", "wlid", "ulid"},
		{"دادا", "dada", ""},
		{"عبد الرحمن", "abdrhmn", ""},
		{"أبو بكر", "abubkr", ""},
		{"פרץ", "prts", "frts"},
		{"ג׳ורג׳", "jorj", ""},
		{"לוי", "loi", "lvi"},
		{"김철수", "kim cheolsu", ""},
		{"블라디미르", "beulradimireu", "beulladimireu veulladimireu"},
		{"习近平", "xi jinping", ""},
		{"欧阳娜娜", "ouyang nana", ""},
		{"タナカ", "tanaka", ""},
		{"たなか", "tanaka", ""},
		{"ヴラド", "vurado", "vulado"},
		{"Jörg Ğül", "jorg gul", "joerg guel"},
		{"Đoković", "dokovic", "djokovich"},
		{"ไทย", "ไทย", ""},
		{"И\u0301ванов", "ivanov", ""},
	} {
		got := strings.Join(Tokens(tt.name), " ")
		if got != tt.main {
			t.Errorf("%s: got %q, want %q", tt.name, got, tt.main)
		}
		for w := range strings.FieldsSeq(tt.others) {
			found := false
			for _, tok := range Parse(tt.name) {
				found = found || slices.Contains(tok.Spellings, w)
			}
			if !found {
				t.Errorf("%s: no spelling %q in %v", tt.name, w, Parse(tt.name))
			}
		}
	}
}

// TestOneNameManyWays lists spellings of one person that share the skeleton of
// every word.
func TestOneNameManyWays(t *testing.T) {
	t.Parallel()
	for _, ways := range [][]string{
		{"Abd al-Rahman AL-MASRI", "Abdulrahman Masri", "ABDURRAHMAN, El Masry", "Abdel Rahman Al Masri", "عبد الرحمن المصري", "Абдуррахман аль-Масри"},
		{"Muammar QADDAFI", "Moammar Gaddafi", "Mu'ammar al-Qadhafi", "Muʿammar al-Qaḏḏāfī"},
		{"Владимир Чайковский", "Vladimir Tchaikovsky", "Wladimir Tschaikowski", "Vladimir ČAIKOVSKI"},
		{"Nasrallah HASSAN", "Nasr Allah Hasan", "Nasrullah, Hassan"},
		{"Nur al-Din ZENGI", "Nuruddin Zengi", "Noureddine Zenghi"},
		{"Abu Bakr BASHIR", "Abubakar Bashir", "BASHEER, Abou Bakar"},
		{"Γιώργος Παπανδρέου", "Giorgos Papandreou"},
	} {
		want := ""
		for _, way := range ways {
			got := bestSkeletons(way, want)
			if want == "" {
				want = got
			}
			if got != want {
				t.Errorf("%s: got %q, want %q", way, got, want)
			}
		}
	}
}

// bestSkeletons returns the sorted skeletons of a name, in the spellings that
// give want if there are such.
func bestSkeletons(name, want string) string {
	readings := [][]string{nil}
	for _, tok := range Parse(name) {
		var next [][]string
		for _, s := range tok.Spellings {
			for _, head := range readings {
				next = append(next, append(slices.Clone(head), Skeleton(s)))
			}
		}
		readings = next
	}
	first := ""
	for _, r := range readings {
		slices.Sort(r)
		s := strings.Join(r, " ")
		if s == want {
			return s
		}
		if first == "" {
			first = s
		}
	}
	return first
}

// TestTransliterationPairs measures the share of real names, each in its own
// script and in Latin letters, of which some spelling's skeleton agrees, and
// the share of unrelated names that agree.
func TestTransliterationPairs(t *testing.T) {
	dir := os.Getenv("SYMBOLON_DATA")
	if dir == "" {
		t.Skip("SYMBOLON_DATA names no folder with the pairs")
	}
	f, err := os.Open(filepath.Join(dir, "translit_pairs.csv"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]float64{"CYRILLIC": 0.85, "ARABIC": 0.65, "HEBREW": 0.55, "KATAKANA": 0.65, "HANGUL": 0.6}
	pairs := map[string][][2]string{}
	for _, r := range rows[1:] {
		if want[r[2]] > 0 && r[1] == "token" {
			pairs[r[2]] = append(pairs[r[2]], [2]string{r[3], r[4]})
		}
	}
	rng := rand.New(rand.NewPCG(1, 2))
	for _, script := range slices.Sorted(maps.Keys(pairs)) {
		ps := pairs[script]
		agree, tried, wrong := 0, 0, 0
		for _, p := range ps {
			if shareSkeleton(p[0], p[1]) {
				agree++
			}
			if q := ps[rng.IntN(len(ps))]; q[0] != p[0] && q[1] != p[1] {
				tried++
				if shareSkeleton(p[0], q[1]) {
					wrong++
				}
			}
		}
		recall, noise := float64(agree)/float64(len(ps)), float64(wrong)/float64(tried)
		t.Logf("%s: %d pairs, %.3f agree, %.4f of unrelated", script, len(ps), recall, noise)
		if recall < want[script] || noise > 0.005 {
			t.Errorf("%s: %.3f agree, want %.2f; %.4f of unrelated names agree, want at most 0.005", script, recall, want[script], noise)
		}
	}
}

func shareSkeleton(a, b string) bool {
	want := bestSkeletons(b, "")
	return bestSkeletons(a, want) == want
}
