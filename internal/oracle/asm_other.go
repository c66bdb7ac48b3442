//go:build !amd64 || purego

package oracle

import (
	"github.com/symbolon/symbolon/internal/cpu"
	"github.com/symbolon/symbolon/internal/field"
)

func (h *Batch) hash1(cpu.Features, []field.Element, []field.Element, []field.Element) int { return 0 }

func (h *Batch) hash2(cpu.Features, []field.Element, []field.Element, []field.Element, []field.Element) int {
	return 0
}

func (s *Shared) init(cpu.Features) {}

func (s *Shared) blocks(cpu.Features, [][32]byte, [][64]byte, []uint8) int { return 0 }
