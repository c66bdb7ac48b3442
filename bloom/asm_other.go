//go:build !amd64 || purego

package bloom

import "github.com/symbolon/symbolon/internal/cpu"

func scan(_ cpu.Features, s *scanArgs) { scanGeneric(s) }
