package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/symbolon/symbolon/internal/audit"
	"github.com/symbolon/symbolon/internal/records"
	"github.com/symbolon/symbolon/internal/store"
	"github.com/symbolon/symbolon/keys"
	"github.com/symbolon/symbolon/protocol"
)

// The exit codes; see the package comment.
const (
	exitFailed      = 1
	exitUsage       = 2
	exitPending     = 3
	exitRefused     = 4
	exitUnreachable = 5
	exitUnverified  = 6
	exitInterrupted = 130
)

// usageError is a command line or a configuration that can't be right.
type usageError struct{ err error }

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

func usagef(format string, args ...any) error { return &usageError{fmt.Errorf(format, args...)} }

// errUnverified marks what failed a check of signatures or proofs.
var errUnverified = errors.New("does not verify")

// hinted is an error with something the operator may do about it.
type hinted struct {
	err  error
	hint string
}

func (e *hinted) Error() string { return e.err.Error() }
func (e *hinted) Unwrap() error { return e.err }

func withHint(err error, format string, args ...any) error {
	return &hinted{err, fmt.Sprintf(format, args...)}
}

// exited is the end of a command in another process, which has said why.
type exited int

func (e exited) Error() string { return fmt.Sprintf("exit code %d", int(e)) }

// errorView is an error in JSON.
type errorView struct {
	Error    string `json:"error"`
	Hint     string `json:"hint,omitempty"`
	Code     string `json:"code,omitempty"`
	ExitCode int    `json:"exit_code"`
	// RetryAfter is when a budget has room again, where that is the reason.
	RetryAfter string `json:"retry_after,omitempty"`
}

// fail reports err on stderr and returns the exit code; nil is 0.
func (a *App) fail(err error) int {
	if err == nil {
		return 0
	}
	var done exited
	if errors.As(err, &done) {
		return int(done)
	}
	v := errorView{Error: err.Error(), Hint: hintFor(err), Code: codeFor(err), ExitCode: exitCode(err), RetryAfter: stamp(retryAfter(err))}
	if v.ExitCode == exitInterrupted {
		v.Error = "interrupted"
	}
	if a.json {
		if json.NewEncoder(a.stderr).Encode(v) == nil {
			return v.ExitCode
		}
	}
	fmt.Fprintf(a.stderr, "symbolon: %s\n", v.Error)
	if v.Hint != "" {
		fmt.Fprintf(a.stderr, "hint: %s\n", v.Hint)
	}
	return v.ExitCode
}

func exitCode(err error) int {
	var (
		usage   *usageError
		pending *protocol.PendingError
		refusal *protocol.Error
	)
	switch {
	case errors.As(err, &pending):
		return exitPending
	case errors.As(err, &usage):
		return exitUsage
	case errors.Is(err, context.Canceled):
		return exitInterrupted
	case errors.As(err, &refusal):
		switch refusal.Code {
		case protocol.CodeTimeout, protocol.CodeCancelled, protocol.CodeBusy:
			return exitUnreachable
		case protocol.CodeInternal:
			return exitFailed
		}
		return exitRefused
	case errors.Is(err, protocol.ErrUnreachable):
		return exitUnreachable
	case errors.Is(err, errUnverified), errors.Is(err, keys.ErrSignature), errors.Is(err, audit.ErrTampered),
		errors.Is(err, audit.ErrFork), errors.Is(err, audit.ErrRollback), errors.Is(err, protocol.ErrUnsigned):
		return exitUnverified
	}
	return exitFailed
}

func codeFor(err error) string {
	var refusal *protocol.Error
	var pending *protocol.PendingError
	switch {
	case errors.As(err, &refusal):
		return string(refusal.Code)
	case errors.As(err, &pending):
		return "pending"
	}
	return ""
}

// hintFor returns what an operator may do about err, or "".
func hintFor(err error) string {
	var h *hinted
	if errors.As(err, &h) {
		return h.hint
	}
	if hint := protocol.Hint(err); hint != "" {
		return hint
	}
	var row *records.RowError
	switch {
	case errors.As(err, &row):
		return "mend the row, leave such rows out with --on-bad-row skip, or only the bad values with --on-bad-row keep"
	case errors.Is(err, keys.ErrPassphrase):
		return "check the passphrase; there is no way around a forgotten one but a new identity"
	case errors.Is(err, keys.ErrPermissions):
		return "run `chmod 600` on the file, and find out who could read it"
	case errors.Is(err, store.ErrLocked):
		return "another command is at work on this node: wait for it, or stop `symbolon serve`"
	case errors.Is(err, store.ErrAmbiguous):
		return "give more digits of the id"
	case errors.Is(err, store.ErrFull):
		return "make room on the disk; nothing that was stored before is lost"
	case errors.Is(err, store.ErrNewer):
		return "use the release of symbolon that wrote it, or a later one"
	case errors.Is(err, protocol.ErrUnreachable):
		return "check the address with `symbolon peer show`, that the peer's node runs, and that both sides have pinned each other's present identity and revoked neither"
	case errors.Is(err, audit.ErrNoHead):
		return "heads are signed when a session runs: there was none under this agreement yet"
	case errors.Is(err, protocol.ErrUnsigned):
		return "both parties sign: `symbolon agreement sign` at one, `countersign` at the other, then `import` at the first"
	}
	return ""
}
