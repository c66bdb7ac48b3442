package cpu

import "testing"

func TestTiers(t *testing.T) {
	tiers := Tiers()
	if tiers["generic"] != (Features{}) {
		t.Error("the generic tier has features")
	}
	if h := Host(); h != (Features{}) && tiers["host"] != h {
		t.Error("the host's tier is not the host's features")
	}
	t.Logf("host: %+v", Host())
}
