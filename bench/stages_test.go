package bench

import (
	"context"
	"testing"

	"github.com/symbolon/symbolon/psi"
)

func TestStages(t *testing.T) {
	for _, security := range []psi.Security{psi.Malicious, psi.SemiHonest} {
		r, err := Stages(context.Background(), PSIConfig{
			Engine: "vole", Security: security, SenderItems: 3000, ReceiverItems: 2000, Overlap: 0.5,
		})
		if err != nil {
			t.Fatal(err)
		}
		if !r.Correct || r.Security != string(security) || r.Total <= 0 {
			t.Errorf("report %+v", r)
		}
		spent := map[string]float64{}
		for _, s := range r.Stages {
			spent[s.Name] = s.Sender + s.Receiver
		}
		for _, name := range []string{"items", "hash", "encode", "base", "trees", "compress", "vector", "decode", "outputs", "sort", "tags"} {
			if spent[name] <= 0 {
				t.Errorf("%s: stage %q took nothing", security, name)
			}
		}
		if (spent["check"] > 0) != (security == psi.Malicious) {
			t.Errorf("%s: the check took %g s", security, spent["check"])
		}
	}
	if _, err := Stages(context.Background(), PSIConfig{Engine: "dh"}); err == nil {
		t.Error("an engine without stages was taken apart")
	}
}
