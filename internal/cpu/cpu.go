// Package cpu tells which groups of instructions the kernels may use.
// GODEBUG=cpu.avx512f=off turns those with AVX-512 off, cpu.avx2=off those with
// AVX2 too, the build tag purego all of them.
package cpu

// Features are the groups of instructions that kernels come in.
type Features struct {
	// AVX2 is AVX2 itself.
	AVX2 bool
	// AES is AVX2 with AES-NI and carry-less multiplication: nearly every
	// server since 2013.
	AES bool
	// AVX512 is AVX-512 F, BW, DQ and VL with BMI2, wide AES and wide
	// carry-less multiplication: AMD since Zen 4, Intel servers since Ice Lake.
	AVX512 bool
	// VPOPCNT is AVX-512 F, DQ and VPOPCNTDQ: AMD since Zen 4, Intel servers
	// since Ice Lake.
	VPOPCNT bool
	// IFMA is AVX-512 F, DQ and IFMA: AMD since Zen 4, Intel servers since Ice
	// Lake.
	IFMA bool
	// SHA is SHA-NI with SSE 4.1.
	SHA bool
}

// Tiers returns the sets of features that a test should cover on this machine:
// none, those of 2013, and all it has.
func Tiers() map[string]Features {
	t := map[string]Features{"generic": {}}
	h := Host()
	if h != (Features{}) {
		t["host"] = h
	}
	if h.AES && h.AVX512 {
		t["avx2"] = Features{AVX2: true, AES: true}
	}
	return t
}
