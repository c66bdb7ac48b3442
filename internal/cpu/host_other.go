//go:build !amd64 || purego

package cpu

// Host returns nothing: there are kernels for amd64 only.
func Host() Features { return Features{} }
