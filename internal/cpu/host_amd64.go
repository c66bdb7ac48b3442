//go:build !purego

package cpu

import "golang.org/x/sys/cpu"

//go:generate go run -C ../_asm ./cpu -out ../cpu/cpuid_amd64.s -stubs ../cpu/cpuid_amd64.go -pkg cpu

// Host returns what this machine has.
func Host() Features {
	x := &cpu.X86
	aes := x.HasAVX2 && x.HasAES && x.HasPCLMULQDQ
	return Features{
		AVX2: x.HasAVX2,
		AES:  aes,
		AVX512: aes && x.HasAVX512F && x.HasAVX512BW && x.HasAVX512DQ && x.HasAVX512VL &&
			x.HasAVX512VAES && x.HasAVX512VPCLMULQDQ && x.HasBMI2,
		VPOPCNT: x.HasAVX512F && x.HasAVX512DQ && x.HasAVX512VPOPCNTDQ,
		IFMA:    x.HasAVX512F && x.HasAVX512DQ && x.HasAVX512IFMA,
		// AVX2 is in leaf 7 itself, so that leaf exists.
		SHA: x.HasSSSE3 && x.HasSSE41 && x.HasAVX2 && cpuid7()>>29&1 == 1,
	}
}
