package main

import (
	"fmt"
	"io"

	"github.com/symbolon/symbolon/keys"
)

type identityCmd struct {
	Out   string `type:"path" placeholder:"FILE" help:"Write the public document that peers pin."`
	Force bool   `help:"Replace the file if it exists."`
}

func (c *identityCmd) needs(*App) need { return needStore }

// identityView is a public identity.
type identityView struct {
	Name        string `json:"name"`
	Fingerprint string `json:"fingerprint"`
	Phone       string `json:"phone"`
	Created     string `json:"created"`
	Rotations   int    `json:"rotations"`
}

func viewIdentity(p *keys.PublicIdentity) identityView {
	return identityView{
		Name: p.Name(), Fingerprint: p.Fingerprint().String(), Phone: p.Fingerprint().Phone(),
		Created: stamp(p.Created()), Rotations: len(p.Rotations()),
	}
}

func (v identityView) write(w io.Writer) {
	fields(w, "Agency", clean(v.Name), "Fingerprint", v.Fingerprint, "On the phone", v.Phone, "Made", v.Created)
	if v.Rotations > 0 {
		fields(w, "Rotations", fmt.Sprint(v.Rotations))
	}
}

func (c *identityCmd) Run(app *App) error {
	id, err := app.ownIdentity()
	if err != nil {
		return err
	}
	if c.Out != "" {
		if err := writeFile(c.Out, append(id.Bytes(), '\n'), c.Force); err != nil {
			return err
		}
		app.say("wrote %s", c.Out)
	}
	v := viewIdentity(id)
	return app.print(v, v.write)
}
