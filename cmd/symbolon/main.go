// Command symbolon runs a node for private record matching between agencies.
//
// # Exit codes
//
//	0    done
//	1    failed
//	2    usage or configuration is wrong
//	3    the session waits for approval; its id is printed
//	4    refused: by the agreement, the peer, a cap or an operator's rights; where
//	     it helps to wait, the error says until when
//	5    the peer can't be reached or the connection was cut: try again
//	6    a signature, a log or a bundle does not verify
//	130  interrupted
//
// A lookup exits with 0 whether it hits or not: what it found is in its output
// (with_hits in JSON), and a script that only looked at the code could not tell
// a hit from a failure.
//
// # JSON
//
// With --json every command writes one JSON object to standard output, whose
// fields are those of the types named ...View in this package (and Outcome in
// package protocol for match). Fields are added but neither renamed nor
// removed. An error is one object on standard error:
//
//	{"error": "...", "hint": "...", "code": "over-budget", "exit_code": 4}
//
// code is the session's code of package protocol, where there is one;
// retry_after, where a budget is spent, is when it has room again.
//
// # One process a node
//
// A node's store has one writer. The first command that opens it for long
// (serve, match) listens on node.sock in the node's directory; any other
// command that finds the store in use sends itself there and runs in that
// process, with its output carried back (see socket.go).
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

func main() { os.Exit(realMain()) }

// realMain runs the program on the process's own arguments and streams. The
// first interrupt cancels what runs, a second one kills.
func realMain() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop)
	return run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
}
