//go:build !purego

package field

import "github.com/symbolon/symbolon/internal/cpu"

//go:generate go run -C ../_asm ./field -out ../field/kernel_amd64.s -stubs ../field/kernel_amd64.go -pkg field

func mulAdd(f cpu.Features, dst, src []Element, c Element) {
	kernel := mulAddAVX2
	switch {
	case !f.AES || len(src) == 0:
		mulAddGeneric(dst, src, c)
		return
	case f.AVX512:
		kernel = mulAddAVX512
	}
	cx := c.Mul(Element{Hi: 1})
	kernel(&dst[0].Lo, &src[0].Lo, len(src), &c.Lo, &cx.Lo)
}

func innerProduct(f cpu.Features, a, b []Element) Element {
	kernel := innerProductAVX2
	switch {
	case !f.AES || len(a) == 0:
		return innerProductGeneric(a, b)
	case f.AVX512:
		kernel = innerProductAVX512
	}
	var p [6]uint64
	kernel(&p[0], &a[0].Lo, &b[0].Lo, len(a))
	return reduce(p[0], p[1]^p[2], p[4]^p[3], p[5])
}

func addPoly(f cpu.Features, dst, x, coef []Element) {
	kernel := addPolyAVX2
	switch {
	case !f.AES || len(x) == 0 || len(coef) == 0:
		addPolyGeneric(dst, x, coef)
		return
	case f.AVX512:
		kernel = addPolyAVX512
	}
	kernel(&dst[0].Lo, &x[0].Lo, len(x), &coef[0].Lo, len(coef))
}
