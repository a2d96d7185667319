//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/sandkeep/sandkeep/hack/cluster/internal/layout"
)

// names are those of the node binary's programs that people and test frameworks call directly.
var names = []string{"kubectl", "etcd", "kube-apiserver"}

// build makes the programs of the node. Go's build cache makes it quick when nothing changed, in other checkouts too.
func (l *launcher) build(ctx context.Context) error {
	if err := os.MkdirAll(l.dir.Bin(""), 0o755); err != nil {
		return err
	}
	if err := goBuild(ctx, filepath.Join(l.source, "hack", "cluster", "node"), l.dir.Bin("node"), versionFlags()); err != nil {
		return err
	}
	if err := goBuild(ctx, filepath.Join(l.source, "hack", "cluster", "pause"), l.dir.Bin("pause"), "-s -w"); err != nil {
		return err
	}
	for _, name := range names {
		if err := os.Symlink("node", l.dir.Bin(name)); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
	}
	return l.copySelf()
}

// copySelf keeps the launcher: the one that "go run" built is deleted when the command ends, and the node lives on.
func (l *launcher) copySelf() error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	return copyFile(self, l.dir.Bin("cluster"))
}

func goBuild(ctx context.Context, pkg, output, ldflags string) error {
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags="+ldflags, "-o", output, ".")
	cmd.Dir = pkg
	// A workspace or vendoring of the caller must not change what is built.
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off", "GOFLAGS=-buildvcs=false")
	return runQuietly(cmd)
}

// versionFlags are the linker's flags that make the components report their version; otherwise they say v0.0.0.
func versionFlags() string {
	const pkg = "k8s.io/component-base/version"
	parts := strings.Split(strings.TrimPrefix(layout.KubernetesVersion, "v"), ".")
	return fmt.Sprintf("-s -w -X %[1]s.gitVersion=%[2]s -X %[1]s.gitMajor=%[3]s -X %[1]s.gitMinor=%[4]s",
		pkg, layout.KubernetesVersion, parts[0], parts[1])
}
