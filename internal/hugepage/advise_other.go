//go:build !linux

package hugepage

import "github.com/symbolon/symbolon/internal/field"

func advise([]field.Element) {}
