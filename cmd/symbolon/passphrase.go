package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/term"

	"github.com/symbolon/symbolon/internal/secret"
)

// maxPassphrase bounds a passphrase in bytes.
const maxPassphrase = 1024

// passphraseFiles are the files named by flags; empty ones were not given.
type passphraseFiles struct{ node, user, next, linkage string }

// passphraseSource says where a passphrase may come from.
type passphraseSource struct {
	what, flag, file, env string
	twice                 bool // a new one: ask twice
}

// collect reads the passphrases that the needs call for.
func (a *App) collect(n need) error {
	node := passphraseSource{what: "passphrase of the node", flag: "--passphrase-file", file: a.files.node, env: "SYMBOLON_PASSPHRASE"}
	user := passphraseSource{what: "passphrase of the operator", flag: "--user-passphrase-file", file: a.files.user, env: "SYMBOLON_USER_PASSPHRASE"}
	next := passphraseSource{what: "new passphrase", flag: "--new-passphrase-file", file: a.files.next, env: "SYMBOLON_NEW_PASSPHRASE", twice: true}
	linkage := passphraseSource{what: "secret of the CLKs", flag: "--secret-file", file: a.files.linkage, env: "SYMBOLON_CLK_SECRET"}
	node.twice, user.twice = n&needNewNode != 0, n&needNewUser != 0
	if n&needUser != 0 && a.userName == "" {
		a.userName = a.onlyUser()
	}
	if n&needUser != 0 && a.userName == "" {
		return withHint(usagef("no operator is given"), "name one with --user or $SYMBOLON_USER; `symbolon user list` shows them")
	}
	for _, s := range []struct {
		wanted need
		into   *secret.Bytes
		from   passphraseSource
	}{
		{needNode | needPassphrase | needNewNode, &a.secrets.node, node},
		{needUser | needNewUser, &a.secrets.user, user},
		{needNext, &a.secrets.next, next},
		{needLinkage, &a.secrets.linkage, linkage},
	} {
		if n&s.wanted == 0 || s.into.Len() > 0 {
			continue
		}
		p, err := a.passphrase(s.from)
		if err != nil {
			return err
		}
		*s.into = p
	}
	return nil
}

func (a *App) passphrase(s passphraseSource) (secret.Bytes, error) {
	var (
		raw []byte
		err error
	)
	switch env, ok := os.LookupEnv(s.env); {
	case s.file != "":
		raw, err = readPassphrase(s.file)
	case ok:
		raw = []byte(env)
	case a.asked && a.stdin != nil && term.IsTerminal(int(a.stdin.Fd())):
		raw, err = a.prompt(s)
	default:
		return secret.Bytes{}, withHint(usagef("the %s is missing", s.what), "use %s or $%s, or run at a terminal", s.flag, s.env)
	}
	defer clear(raw)
	if err != nil {
		return secret.Bytes{}, err
	}
	if len(raw) == 0 || len(raw) > maxPassphrase {
		return secret.Bytes{}, usagef("the %s has %d bytes, want 1 to %d", s.what, len(raw), maxPassphrase)
	}
	return secret.New(raw), nil
}

// readPassphrase reads a file without its last line end.
func readPassphrase(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, &usageError{err}
	}
	defer f.Close()
	raw, err := io.ReadAll(io.LimitReader(f, maxPassphrase+3))
	if err != nil {
		return nil, err
	}
	raw = bytes.TrimSuffix(raw, []byte("\n"))
	return bytes.TrimSuffix(raw, []byte("\r")), nil
}

func (a *App) prompt(s passphraseSource) ([]byte, error) {
	first, err := a.ask(s.what)
	if err != nil || !s.twice {
		return first, err
	}
	second, err := a.ask(s.what + " again")
	defer clear(second)
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(first, second) {
		clear(first)
		return nil, errors.New("the two passphrases differ")
	}
	return first, nil
}

// ask reads a line without showing it. After an interrupt the terminal is as it
// was; the goroutine that still reads from it ends with the process.
func (a *App) ask(what string) ([]byte, error) {
	fd := int(a.stdin.Fd())
	state, err := term.GetState(fd)
	if err != nil {
		return nil, err
	}
	fmt.Fprintf(a.stderr, "%s: ", what)
	defer fmt.Fprintln(a.stderr)
	type answer struct {
		text []byte
		err  error
	}
	answers := make(chan answer, 1)
	go func() {
		text, err := term.ReadPassword(fd)
		answers <- answer{text, err}
	}()
	select {
	case r := <-answers:
		return r.text, r.err
	case <-a.ctx.Done():
		return nil, errors.Join(a.ctx.Err(), term.Restore(fd, state))
	}
}
