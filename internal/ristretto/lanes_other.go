//go:build !amd64 || purego

package ristretto

// haveLanes tells that elements are handled in vectors.
const haveLanes = false

// lanes stands for vectors of elements where there are none.
type lanes struct{}

const noLanes = "ristretto: no vectors on this machine"

func (*lanes) reset(int) bool                      { return false }
func (*lanes) decode([]byte) error                 { panic(noLanes) }
func (*lanes) hash(*Hasher, int, func(int) []byte) { panic(noLanes) }
func (*lanes) set([]*Element)                      { panic(noLanes) }
func (*lanes) copy(*lanes)                         { panic(noLanes) }
func (*lanes) at(*Element, int)                    { panic(noLanes) }
func (*lanes) multiply(func(int) *Scalar, int)     { panic(noLanes) }
func (*lanes) encode([]byte)                       { panic(noLanes) }
func (*lanes) sums([]*Element, []Scalar)           { panic(noLanes) }
func (*lanes) setGenerator()                       { panic(noLanes) }
func (*lanes) add(*lanes)                          { panic(noLanes) }
func (*lanes) subtract(*lanes)                     { panic(noLanes) }
