package protocol

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/symbolon/symbolon/psi"
)

// Code is what a peer learns of a refusal or a failure. The reason stays with
// our own operator.
type Code string

// The codes. An unknown code from a peer reads as CodeInternal.
const (
	CodeVersion        Code = "version"
	CodeAgreement      Code = "unknown-agreement"
	CodeNotInForce     Code = "agreement-not-in-force"
	CodeRules          Code = "rules-differ"
	CodeCanary         Code = "canary-differs"
	CodeClock          Code = "clock-skew"
	CodeLog            Code = "log-inconsistent"
	CodeNotPermitted   Code = "not-permitted"
	CodeBudget         Code = "over-budget"
	CodeAttempts       Code = "too-many-attempts"
	CodeApproval       Code = "approval-invalid"
	CodeUnknownSession Code = "unknown-session"
	CodeRefused        Code = "refused"
	CodeInput          Code = "input-changed"
	CodeBusy           Code = "busy"
	CodeMessage        Code = "bad-message"
	CodeSignature      Code = "bad-signature"
	CodeTimeout        Code = "timeout"
	CodeCancelled      Code = "cancelled"
	CodeInternal       Code = "internal"
	// Of lookups.
	CodeNotPublished Code = "not-published"
	CodeEpoch        Code = "epoch-expired"
	CodeManifest     Code = "manifest-refused"
	CodeNotDue       Code = "not-due"
	// Of searches.
	CodeKeys     Code = "keys-missing"
	CodeReveals  Code = "too-many-reveals"
	CodeNotThere Code = "not-there"
)

var knownCodes = map[Code]bool{
	CodeVersion: true, CodeAgreement: true, CodeNotInForce: true, CodeRules: true,
	CodeCanary: true, CodeClock: true, CodeLog: true, CodeNotPermitted: true,
	CodeBudget: true, CodeAttempts: true, CodeApproval: true, CodeUnknownSession: true,
	CodeRefused: true, CodeInput: true, CodeBusy: true, CodeMessage: true,
	CodeSignature: true, CodeTimeout: true, CodeCancelled: true, CodeInternal: true,
	CodeNotPublished: true, CodeEpoch: true, CodeManifest: true, CodeNotDue: true,
	CodeKeys: true, CodeReveals: true, CodeNotThere: true,
}

// Error is a failure of a session: a code for the peer, a reason for our
// operator.
type Error struct {
	Code Code
	// Reason is for our operator. It never holds values of records or secrets.
	Reason string
	// RetryAfter, if set, is when a budget has room again.
	RetryAfter time.Time
	// ByPeer tells that the peer ended the session, or refused the request, with
	// this code.
	ByPeer bool
	// request: only one request was refused, and the stream goes on.
	request bool
	err     error
}

func (e *Error) Error() string {
	if e.ByPeer {
		s := fmt.Sprintf("the peer ended the session: %s", e.Code)
		if e.request {
			s = fmt.Sprintf("the peer refused the request: %s", e.Code)
		}
		if !e.RetryAfter.IsZero() {
			s += ", retry after " + e.RetryAfter.UTC().Format(time.RFC3339)
		}
		return s
	}
	return e.Reason
}

func (e *Error) Unwrap() error { return e.err }

// refuse returns an Error whose reason is formatted; a %w verb is unwrapped to.
func refuse(code Code, format string, args ...any) *Error {
	err := fmt.Errorf(format, args...)
	return &Error{Code: code, Reason: err.Error(), err: errors.Unwrap(err)}
}

// codeOf returns the code that the peer gets for err.
func codeOf(err error) (Code, time.Time) {
	var e *Error
	switch {
	case errors.As(err, &e):
		return e.Code, e.RetryAfter
	case errors.Is(err, psi.ErrPeer):
		return CodeMessage, time.Time{}
	case errors.Is(err, context.DeadlineExceeded):
		return CodeTimeout, time.Time{}
	case errors.Is(err, context.Canceled):
		return CodeCancelled, time.Time{}
	}
	return CodeInternal, time.Time{}
}

// Hint returns what an operator may do about err, or "".
func Hint(err error) string {
	var pending *PendingError
	if errors.As(err, &pending) {
		return "run `symbolon match --resume " + pending.Session[:16] + "` once it is approved, or use --wait"
	}
	var e *Error
	if !errors.As(err, &e) {
		return ""
	}
	switch e.Code {
	case CodeVersion:
		return "bring both nodes to the same release"
	case CodeAgreement:
		return "both sides must have the countersigned agreement: see `symbolon agreement list` and `agreement import`"
	case CodeNotInForce:
		return "see `symbolon agreement show` for its validity, or ask the peer whether it was suspended"
	case CodeRules, CodeCanary:
		return "the nodes would derive different keys from the same person: bring both to the release the agreement was signed with"
	case CodeClock:
		return "check the time synchronisation of both machines"
	case CodeLog:
		return "run `symbolon audit verify` on both sides and compare the heads before going on"
	case CodeBudget:
		return "the agreement's caps count items after padding over the last 24 hours: see `symbolon agreement show`"
	case CodeInput:
		return "start a new session: a resumed one must run over the data it was started with"
	case CodeNotPublished:
		return "the owner has to run `symbolon publish` first, or `symbolon index` for searches"
	case CodeEpoch:
		return "the owner's filter has moved on: run `symbolon fetch` and try again"
	case CodeManifest:
		return "do not use the filter: ask the peer, and compare the logs of both sides with `symbolon audit verify`"
	case CodeReveals:
		return "the agreement bounds for how many handles of a search the reference is given: see `symbolon agreement show`"
	case CodeNotThere:
		return "the record has left the peer's data since: search again"
	case CodeNotDue:
		return "wait until the schedule of the agreement allows the next version, or begin a new epoch with --rotate-now"
	case CodeNotPermitted:
		return "see `symbolon agreement show` for its modes and for who may ask, and `agreement draft --modes` to agree on others"
	case CodeBusy:
		return "try again when the running sessions have ended"
	}
	return ""
}

// PendingError reports a session that waits for an approval.
type PendingError struct {
	Session string // the operator's handle, hexadecimal
	AtPeer  bool   // the peer's operators must approve, not ours
}

func (e *PendingError) Error() string {
	who := "this agency's operators"
	if e.AtPeer {
		who = "the peer's operators"
	}
	return fmt.Sprintf("session %s waits for approval by %s", e.Session, who)
}
