//go:build linux

package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/sandkeep/sandkeep/hack/cluster/internal/layout"
	"github.com/sandkeep/sandkeep/hack/internal/compile"
)

// names are those of the node binary's programs that people and test frameworks call directly.
var names = []string{"kubectl", "etcd", "kube-apiserver"}

// build makes the programs of the node. Go's build cache makes it quick when little changed, in other checkouts too.
func (l *launcher) build(ctx context.Context) error {
	for _, program := range []struct{ pkg, name, ldflags string }{{"pause", "pause", "-s -w"}, {"node", layout.NodeProgram, versionFlags()}} {
		pkg := filepath.Join(l.source, "hack", "cluster", program.pkg)
		if err := goBuild(ctx, pkg, l.dir.Bin(program.name), program.ldflags); err != nil {
			return err
		}
	}
	for _, name := range names {
		if err := os.Remove(l.dir.Bin(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if err := os.Symlink(layout.NodeProgram, l.dir.Bin(name)); err != nil {
			return err
		}
	}
	return nil
}

// buildOnce builds unless what was built last came from the same sources: even to find that out takes Go some seconds.
func (l *launcher) buildOnce(ctx context.Context) error {
	if err := os.MkdirAll(l.dir.Bin(""), 0o755); err != nil {
		return err
	}
	sources, err := fingerprint(filepath.Join(l.source, "hack", "cluster"), "pause", "node")
	if err != nil {
		return err
	}
	stamp := l.dir.Bin("sources")
	_, missing := os.Stat(l.dir.Bin(layout.NodeProgram))
	if built, err := os.ReadFile(stamp); err == nil && string(built) == sources && missing == nil {
		return nil
	}
	what := "Building Kubernetes " + layout.KubernetesVersion
	if missing != nil {
		what += " from Go modules, which takes some minutes the first time"
	}
	if err := l.progress.step(what, func() error { return l.build(ctx) }); err != nil {
		return err
	}
	return os.WriteFile(stamp, []byte(sources), 0o644)
}

// fingerprint changes with every file of the packages but tests, with the version that is built and with the Go release.
func fingerprint(root string, packages ...string) (string, error) {
	parts := []string{runtime.Version(), versionFlags()}
	for _, pkg := range packages {
		files, err := os.ReadDir(filepath.Join(root, pkg))
		if err != nil {
			return "", err
		}
		for _, f := range files {
			if strings.HasSuffix(f.Name(), "_test.go") {
				continue
			}
			content, err := os.ReadFile(filepath.Join(root, pkg, f.Name()))
			if err != nil {
				return "", err
			}
			parts = append(parts, fmt.Sprintf("%s %x", f.Name(), sha256.Sum256(content)))
		}
	}
	return strings.Join(parts, "\n") + "\n", nil
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
	args := slices.Concat([]string{"build"}, compile.Flags, []string{"-ldflags=" + ldflags, "-o", output, "."})
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = pkg
	// A workspace or vendoring of the caller must not change what is built.
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off", "GOFLAGS=")
	return runQuietly(cmd)
}

// versionFlags are the linker's flags that make the components report their version; otherwise they say v0.0.0.
func versionFlags() string {
	const pkg = "k8s.io/component-base/version"
	parts := strings.Split(strings.TrimPrefix(layout.KubernetesVersion, "v"), ".")
	return fmt.Sprintf("-s -w -X %[1]s.gitVersion=%[2]s -X %[1]s.gitMajor=%[3]s -X %[1]s.gitMinor=%[4]s",
		pkg, layout.KubernetesVersion, parts[0], parts[1])
}
