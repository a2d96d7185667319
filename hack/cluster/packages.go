//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
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

// install brings the packages with apt-get, refreshing its lists only if it must.
func install(ctx context.Context, packages []string) error {
	if !isPresent("apt-get") {
		return fmt.Errorf("this machine lacks %s and has no apt-get: install them as your distribution does",
			strings.Join(packages, ", "))
	}
	args := append([]string{"install", "--yes", "--no-install-recommends"}, packages...)
	if aptGet(ctx, args...) != nil {
		if err := errors.Join(aptGet(ctx, "update"), aptGet(ctx, args...)); err != nil {
			return fmt.Errorf("install %s: %w", strings.Join(packages, ", "), err)
		}
	}
	return stopService(ctx)
}

func aptGet(ctx context.Context, args ...string) error {
	cmd := exec.CommandContext(ctx, "apt-get", append([]string{"--quiet", "-o", "DPkg::Lock::Timeout=120"}, args...)...)
	cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
	return runQuietly(cmd)
}

// stopService ends the containerd that Debian starts on installation. The node runs its own.
func stopService(ctx context.Context) error {
	if _, err := os.Stat("/run/systemd/system"); err != nil {
		return nil //nolint:nilerr // no systemd, so nothing was started
	}
	return runQuietly(exec.CommandContext(ctx, "systemctl", "disable", "--now", "containerd.service"))
}
