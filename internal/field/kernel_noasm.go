package field

func mulAdd(dst, src []Element, c Element)  { mulAddGeneric(dst, src, c) }
func innerProduct(a, b []Element) Element   { return innerProductGeneric(a, b) }
func horner(v []Element, x Element) Element { return hornerGeneric(v, x) }
