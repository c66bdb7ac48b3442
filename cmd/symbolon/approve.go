package main

import (
	"fmt"
	"io"
)

type approveCmd struct {
	Session string `arg:"" help:"Its id, the beginning of it, or last."`
	Reject  bool   `help:"Refuse the session, for good."`
	Reason  string `placeholder:"TEXT" help:"Why it is rejected; it is logged here and not told to the peer."`
}

func (c *approveCmd) needs(*App) need { return needStore | needNode | needUser }

// approveView is a session after an operator's word. Have of Want consents of
// this agency are given.
type approveView struct {
	Session string `json:"session"`
	State   string `json:"state"`
	Have    int    `json:"approvals"`
	Want    int    `json:"approvals_wanted"`
}

func (c *approveCmd) Run(app *App) error {
	if c.Reject == (c.Reason == "") {
		return usagef("--reject and --reason go together")
	}
	row, err := app.session(c.Session)
	if err != nil {
		return err
	}
	user, err := app.unlockUser()
	if err != nil {
		return err
	}
	v := approveView{Session: row.ID}
	if c.Reject {
		err = app.node.Reject(row.ID, user, c.Reason)
	} else {
		v.Have, v.Want, err = app.node.Approve(row.ID, user)
	}
	if err != nil {
		return err
	}
	if row, err = app.store.Session(row.ID); err != nil {
		return err
	}
	v.State = row.State
	return app.print(v, func(w io.Writer) {
		switch {
		case c.Reject:
			fmt.Fprintf(w, "Rejected session %s\n", v.Session)
		case v.Have < v.Want:
			fmt.Fprintf(w, "Approved session %s: %d of %d operators so far\n", v.Session, v.Have, v.Want)
		case row.Local:
			fmt.Fprintf(w, "Approved session %s. Run it with `symbolon match --resume %s`\n", v.Session, short(v.Session))
		default:
			fmt.Fprintf(w, "Approved session %s: the peer can run it now\n", v.Session)
		}
	})
}
