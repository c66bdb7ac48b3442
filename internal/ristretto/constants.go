package ristretto

import (
	"encoding/hex"

	"filippo.io/edwards25519/field"
)

// Constants of RFC 9496, Section 4.1.
var (
	zero           field.Element
	one            = *new(field.Element).One()
	minusOne       = *new(field.Element).Negate(&one)
	d              = constant("a3785913ca4deb75abd841414d0a700098e879777940c78c73fe6f2bee6c0352")
	sqrtM1         = constant("b0a00e4a271beec478e42fad0618432fa7d7fb3d99004d2b0bdfc14f8024832b")
	sqrtADMinusOne = constant("1b2e7b49a0f6977ebd54781b0c8e9daffdd1f531c9fc3c0fac48832bbf316937")
	invSqrtAMinusD = constant("ea405d80aafdc899be72415a17162f9d40d801fe917bc216a2fcafcf05896c78")
	oneMinusDSq    = constant("76c15f94c1097ce20f355ecd38a1812ce4df70beddab9499d7e0b3b2a8729002")
	dMinusOneSq    = constant("204ded44aa5aad3199191eb02c4a9ed2eb4e9b522fd3dc4c41226cf67ab36859")
)

// constant reads a field element in little-endian hexadecimal.
func constant(s string) field.Element {
	b, err := hex.DecodeString(s)
	if err != nil {
		panic("ristretto: " + err.Error())
	}
	var e field.Element
	if _, err := e.SetBytes(b); err != nil {
		panic("ristretto: " + err.Error())
	}
	return e
}
