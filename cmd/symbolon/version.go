package main

import (
	"fmt"
	"io"
	"runtime"
	"runtime/debug"
	"sync"

	"github.com/symbolon/symbolon/internal/records"
)

type versionCmd struct{}

// versionView is the program's version. Normalisation decides with whom its
// match keys agree.
type versionView struct {
	Version       string `json:"version"`
	Commit        string `json:"commit,omitempty"`
	Modified      bool   `json:"modified"`
	Go            string `json:"go"`
	Platform      string `json:"platform"`
	Normalisation string `json:"normalisation"`
}

var buildVersion = sync.OnceValue(func() versionView {
	v := versionView{Version: "unknown", Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH,
		Normalisation: records.NormalisationVersion()}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return v
	}
	v.Version = info.Main.Version
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			v.Commit = s.Value
		case "vcs.modified":
			v.Modified = s.Value == "true"
		}
	}
	return v
})

func (c *versionCmd) Run(app *App) error {
	v := buildVersion()
	return app.print(v, func(w io.Writer) {
		fmt.Fprintf(w, "symbolon %s\n", v.Version)
		fields(w, "commit", v.Commit, "go", v.Go+" "+v.Platform, "normalisation", v.Normalisation)
	})
}
