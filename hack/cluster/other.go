//go:build !linux

// Command cluster runs a whole Kubernetes on one Linux machine.
package main

import (
	"fmt"
	"os"
)

func main() {
	fmt.Fprintln(os.Stderr, "cluster: the local cluster needs Linux; here, use a cluster that you have: set KUBECONFIG and CLUSTER=existing")
	os.Exit(1)
}
