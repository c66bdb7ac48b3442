// Package binomial bounds how many of n random balls fall into one of several
// bins: what a hash table's bin or a shard has to have room for.
package binomial

import "math"

// Capacity returns the least c such that a bin gets more than c of n keys with
// probability at most 2^-lambda: the exact binomial tail.
func Capacity(n, bins int, lambda float64) int {
	if bins == 1 {
		return n
	}
	lo, hi := n/bins, n
	for lo < hi {
		c := (lo + hi) / 2
		if log2Tail(n, bins, c) <= -lambda {
			hi = c
		} else {
			lo = c + 1
		}
	}
	return lo
}

// log2Tail returns log2 of the probability that more than c of n keys fall into
// one of the bins, for c at least the mean.
func log2Tail(n, bins, c int) float64 {
	if c >= n {
		return math.Inf(-1)
	}
	p := 1 / float64(bins)
	lg := func(x int) float64 { v, _ := math.Lgamma(float64(x) + 1); return v }
	k := c + 1
	first := lg(n) - lg(k) - lg(n-k) + float64(k)*math.Log(p) + float64(n-k)*math.Log1p(-p)
	// Each further term is smaller by a factor that falls.
	sum, term := 1.0, 1.0
	for ; k < n && term > 1e-18*sum; k++ {
		term *= float64(n-k) / float64(k+1) * p / (1 - p)
		sum += term
	}
	return (first + math.Log(sum)) / math.Ln2
}
