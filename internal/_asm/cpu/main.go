// Command cpu generates the CPUID query of internal/cpu.
package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

func main() {
	ConstraintExpr("!purego")
	TEXT("cpuid7", NOSPLIT, "func() (ebx uint32)")
	Doc("cpuid7 returns EBX of CPUID leaf 7, subleaf 0.")
	MOVL(U32(7), EAX)
	XORL(ECX, ECX)
	CPUID()
	Store(EBX, ReturnIndex(0))
	RET()
	Generate()
}
