//go:build linux

package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"

	"github.com/sandkeep/sandkeep/hack/internal/apt"
)

// requirement is a file or program of the machine and the Debian package that brings it.
type requirement struct {
	file, pkg string
}

var requirements = []requirement{
	{"containerd", "containerd"},
	{"ctr", "containerd"},
	{"containerd-shim-runc-v2", "containerd"},
	{"runc", "runc"},
	{"/usr/lib/cni/ptp", "containernetworking-plugins"},
	{"iptables", "iptables"},
	{"nft", "nftables"},
	{"conntrack", "conntrack"},
	{"ip", "iproute2"},
	{"nsenter", "util-linux"},
	{"mount", "mount"},
}

// missingPackages lists, once each, the packages whose files are not there.
func missingPackages(required []requirement, present func(file string) bool) []string {
	var missing []string
	seen := map[string]bool{}
	for _, r := range required {
		if !seen[r.pkg] && !present(r.file) {
			seen[r.pkg] = true
			missing = append(missing, r.pkg)
		}
	}
	return missing
}

func isPresent(file string) bool {
	_, err := exec.LookPath(file)
	return err == nil
}

// install brings the packages with apt-get.
func install(ctx context.Context, packages []string) error {
	if !isPresent("apt-get") {
		return fmt.Errorf("this machine lacks %s and has no apt-get: install them as your distribution does",
			strings.Join(packages, ", "))
	}
	if said, err := apt.Install(ctx, packages...); err != nil {
		return fmt.Errorf("install %s with apt-get: %w\n%s", strings.Join(packages, ", "), err, tail(said, shownLines))
	}
	return stopService(ctx)
}

// stopService ends the containerd that Debian starts on installation. The node runs its own.
func stopService(ctx context.Context) error {
	if _, err := os.Stat("/run/systemd/system"); err != nil {
		return nil //nolint:nilerr // no systemd, so nothing was started
	}
	return runQuietly(exec.CommandContext(ctx, "systemctl", "disable", "--now", "containerd.service"))
}
