// Package protocol introduces two agencies' nodes to each other: the agreement
// that both have signed, the session that runs under it, and the evidence that
// stays.
//
// A Node proposes sessions (Propose, Run) and answers its peer's (Handle,
// Server). One session is one stream of frames:
//
//	Hello, log heads      versions, rules, canaries, clocks and logs agree
//	Propose → Decision    who asks, for what; operators approve
//	Start                 attempt, sizes, input commitments; budgets are charged
//	Engine, labels, ...   the rounds of psi/dhpsi, driven by psi.Drive
//	Finish, log heads     both agencies sign the transcript and log it
//
// Modes that are answered at once have no session. Under a grant, one stream
// carries many requests, each booked and logged before it is answered:
//
//	Hello, log heads
//	Grant → Granted       the agency certifies the key that signs the requests
//	requests ⇄ answers    lookups (OpenLookups), filters (Publish, Fetch)
//	Done, log heads
//
// SPEC.md says it in full, for those who write another implementation. Every
// error has a code for the peer and a reason for our own operator (Error).
package protocol
