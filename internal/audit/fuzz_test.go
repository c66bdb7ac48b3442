package audit

import "testing"

func FuzzParseHead(f *testing.F) {
	const o = "symbolon/log/a/b"
	f.Add(emptyHead.text(o))
	f.Add(Head{12, emptyHead.Root}.text(o))
	f.Add(o + "\n1\nAAAA\n")
	f.Fuzz(func(t *testing.T, text string) {
		if h, err := parseHead(text, o); err == nil && h.text(o) != text {
			t.Errorf("%q is read as %q", text, h.text(o))
		}
	})
}
