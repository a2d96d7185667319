package main

import (
	"errors"
	"fmt"
)

// needBytes is room for the programs, the Go build cache and some images.
const needBytes = 5 << 30

// notRoot says what to do where the user may not make a node, and is nil where they may.
func notRoot(uid int) error {
	if uid == 0 {
		return nil
	}
	return errors.New("the local cluster makes namespaces, mounts and cgroups, so it needs root: " +
		"run the command with sudo, or bring a cluster and set CLUSTER=existing")
}

// tooFull says what to do where the disk of dir has too little room, and is nil where it has enough.
func tooFull(dir string, freeBytes uint64) error {
	if freeBytes >= needBytes {
		return nil
	}
	return fmt.Errorf("%s has %.1f GiB of free space and needs %d: free some, or set CLUSTER_DIR to a directory on another disk",
		dir, float64(freeBytes)/(1<<30), needBytes>>30)
}
