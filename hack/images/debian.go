package main

import (
	"bytes"
	"context"
	_ "embed" // for the source of the recipe
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
)

// The Debian layer is made by this file and slim.go, so their text belongs to its key.
var (
	//go:embed debian.go
	debianSource string
	//go:embed slim.go
	slimSource string
)

// defaultSources is Debian as its project serves it: what the image's own apt uses, and what it is installed from where
// the machine's apt names no mirror of this release.
var defaultSources = []string{
	"deb http://deb.debian.org/debian " + debianSuite + " main",
	"deb http://deb.debian.org/debian " + debianSuite + "-updates main",
	"deb http://deb.debian.org/debian-security " + debianSuite + "-security main",
}

// debianRecipe makes the root filesystem that the agents' images share.
func debianRecipe(_ context.Context, b *builder) (recipe, error) {
	return recipe{
		name: "debian",
		work: fmt.Sprintf("download Debian %s and %d packages of it, and unpack them", debianSuite, len(debianPackages)),
		key: keyOf(append([]string{
			debianSource, slimSource, debianSuite, platformArch, agentName, agentHome, workspacePath, fmt.Sprint(agentID, epoch),
		}, debianPackages...)...),
		write: b.writeDebian,
	}, nil
}

// writeDebian installs Debian into a temporary folder and writes it to w, slimmed.
func (b *builder) writeDebian(ctx context.Context, w io.Writer) error {
	if err := b.ensureProgram(ctx, "mmdebstrap"); err != nil {
		return err
	}
	options, sources, err := machineMirrors(ctx)
	if err != nil {
		return err
	}
	folder, err := os.MkdirTemp(b.cache("tmp"), "debian.*")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(folder) }()
	if err := os.Chmod(folder, 0o755); err != nil { // apt fetches as a user of its own
		return err
	}
	args := slices.Concat([]string{
		"--variant=minbase",
		"--architectures=" + platformArch,
		"--include=" + strings.Join(debianPackages, ","),
		"--format=tar",
	}, options, []string{debianSuite, "-"}, sources)
	cmd := command(ctx, "mmdebstrap", args...)
	cmd.Env = append(os.Environ(), "TMPDIR="+folder, "LC_ALL=C.UTF-8", fmt.Sprintf("SOURCE_DATE_EPOCH=%d", epoch.Unix()))
	isolate(cmd)
	return slimOutput(cmd, w)
}

// isolate gives a program that mounts things namespaces of its own: when it ends in any way, or we do, its children and
// mounts end with it. Without root the program has to make such namespaces itself, and mmdebstrap does.
func isolate(cmd *exec.Cmd) {
	if os.Geteuid() != 0 {
		return
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:   syscall.CLONE_NEWPID,
		Unshareflags: syscall.CLONE_NEWNS, // Go then makes the mounts private as well
		Pdeathsig:    syscall.SIGKILL,
	}
	cmd.Cancel = func() error { return cmd.Process.Kill() }
}

// slimOutput runs a program that prints a root filesystem.
func slimOutput(cmd *exec.Cmd, w io.Writer) error {
	var said bytes.Buffer
	cmd.Stderr = &said
	root, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return explain(cmd.Args[0], err, err.Error())
	}
	slimErr := slim(root, w)
	_, _ = io.Copy(io.Discard, root) // lets the program end and say what went wrong
	if err := cmd.Wait(); err != nil {
		return explain(cmd.Args[0], err, said.String())
	}
	return slimErr
}

// machineMirrors returns the apt options and the sources with which this machine reaches Debian.
func machineMirrors(ctx context.Context) (options, sources []string, err error) {
	if os.Geteuid() == 0 { // without fresh lists apt does not know which mirrors are Debian's
		if err := refreshPackageLists(ctx); err != nil {
			return nil, nil, err
		}
	}
	targets, err := output(command(ctx, "apt-get", "indextargets", "--format", "$(ORIGIN) $(REPO_URI) $(RELEASE) $(COMPONENT)", "Created-By: Packages"))
	if err != nil {
		return nil, nil, err
	}
	settings, err := output(command(ctx, "apt-config", "dump", "--format", `%f "%v";%n`,
		"Acquire::http::Proxy", "Acquire::https::Proxy", "Acquire::Check-Valid-Until"))
	if err != nil {
		return nil, nil, err
	}
	return aptOptions(settings), sourcesFrom(targets), nil
}

// sourcesFrom picks the machine's mirrors of our release, and Debian's own where it has no mirror of the release itself.
// Other publishers' repositories can carry the same release name, so the origin decides.
func sourcesFrom(targets string) []string {
	var sources []string
	found := false
	for line := range strings.Lines(targets) {
		fields := strings.Fields(line)
		if len(fields) != 4 || fields[0] != "Debian" || fields[3] != "main" {
			continue
		}
		source := "deb " + strings.Join(fields[1:], " ")
		if suite, _, _ := strings.Cut(fields[2], "-"); suite == debianSuite && !slices.Contains(sources, source) {
			sources = append(sources, source)
			found = found || fields[2] == debianSuite
		}
	}
	if !found {
		return defaultSources
	}
	return sources
}

// aptOptions hands the machine's network settings to the apt of the new root filesystem.
func aptOptions(settings string) []string {
	var options []string
	for line := range strings.Lines(settings) {
		if line = strings.TrimSpace(line); line != "" {
			options = append(options, "--aptopt="+line)
		}
	}
	return options
}
