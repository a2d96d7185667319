package main

import (
	"errors"
	"fmt"
)

// needBytes is room for the programs, the Go build cache and some images.
const needBytes = 5 << 30

// machine is what matters about the machine before the cluster starts.
type machine struct {
	uid int
	// freeBytes is what is left on the disk of the directory dir.
	freeBytes uint64
	dir       string
}

// unfit says everything that keeps the machine from running the cluster, and what to do about it.
func (m machine) unfit() error {
	var reasons []error
	if m.uid != 0 {
		reasons = append(reasons, errors.New("the local cluster makes namespaces, mounts and cgroups, so it needs root: "+
			"run the command with sudo, or bring a cluster and set CLUSTER=existing"))
	}
	if m.freeBytes < needBytes {
		reasons = append(reasons, fmt.Errorf("%s has %.1f GiB of free space and needs %d: free some, "+
			"or set CLUSTER_DIR to a directory on another disk", m.dir, float64(m.freeBytes)/(1<<30), needBytes>>30))
	}
	return errors.Join(reasons...)
}
