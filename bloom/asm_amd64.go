//go:build !purego

package bloom

import "github.com/symbolon/symbolon/internal/cpu"

//go:generate go run -C ../internal/_asm ./bloom -out ../../bloom/kernel_amd64.s -stubs ../../bloom/kernel_amd64.go -pkg bloom

func scan(f cpu.Features, s *scanArgs) {
	if len(s.masks) == 0 {
		return
	}
	switch {
	case f.VPOPCNT:
		scanAVX512(&s.masks[0][0], &s.tile[0], &s.groups[0], &s.bounds[0], &s.base[0], len(s.masks), s.words())
	case f.AVX2:
		scanAVX2(&s.masks[0][0], &s.tile[0], &s.groups[0], &s.bounds[0], &s.base[0], len(s.masks), s.words())
	default:
		scanGeneric(s)
	}
}
