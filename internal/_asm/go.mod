// The generators of the assembly under internal: a module of its own, so that
// the program does not depend on avo.
module github.com/symbolon/symbolon/internal/_asm

go 1.26.0

require github.com/mmcloughlin/avo v0.6.0

require (
	golang.org/x/mod v0.41.0 // indirect
	golang.org/x/sync v0.23.0 // indirect
	golang.org/x/tools v0.51.0 // indirect
)
