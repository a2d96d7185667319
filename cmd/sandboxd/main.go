// Sandboxd is the program inside every sandbox; see package internal/sandboxd.
package main

import (
	"fmt"
	"os"
	"time"

	"github.com/sandkeep/sandkeep/internal/sandboxd"
)

const usage = `usage:
  sandboxd install <dir>  copy this program into a directory
  sandboxd run            run the agent of the sandbox
  sandboxd ready          succeed while the agent is at work
`

// usageError is the exit code for a call that is not understood.
const usageError = 2

func main() { os.Exit(execute(os.Args[1:])) }

func execute(args []string) int {
	dirs := sandboxd.SandboxDirs("/")
	switch {
	case len(args) == 2 && args[0] == "install":
		return complain(sandboxd.Install(args[1]))
	case len(args) == 1 && args[0] == "ready":
		return ready(dirs)
	case len(args) == 1 && args[0] == "run":
		return sandboxd.Serve(dirs, os.Environ(), os.Stdout, time.Now)
	default:
		fmt.Fprint(os.Stderr, usage)
		return usageError
	}
}

func ready(dirs sandboxd.Dirs) int {
	if dirs.IsReady() {
		return 0
	}
	return 1
}

func complain(err error) int {
	if err != nil {
		fmt.Fprintln(os.Stderr, "sandboxd:", err)
		return 1
	}
	return 0
}
