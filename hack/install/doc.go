// Package install puts Sandkeep on a cluster: it builds the images, renders config with their references, applies what
// came out, and waits until it works. `make install`, `make demo` and the end-to-end tests all go through it.
package install
