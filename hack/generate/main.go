// Command generate writes everything in the repository that is made from something else in it: deep copies, apply
// configurations, CustomResourceDefinitions and RBAC roles. With -check it changes nothing and fails when a file is not what
// it would write, which needs no clean work tree.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
)

// The places of what is generated.
const (
	apiDir  = "api"
	crdDir  = "config/crd/bases"
	rbacDir = "config/rbac"
)

func main() {
	check := flag.Bool("check", false, "change nothing, and fail when a generated file is stale")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, *check)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "generate:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, check bool) error {
	if !check {
		return generate(ctx)
	}
	before, err := readGenerated()
	if err != nil {
		return err
	}
	if err := generate(ctx); err != nil {
		return err
	}
	after, err := readGenerated()
	if err != nil {
		return err
	}
	if err := before.restore(after); err != nil {
		return err
	}
	return before.compare(after)
}

func generate(ctx context.Context) error {
	if err := generateAPI(ctx); err != nil {
		return err
	}
	if err := trimCRDs(crdDir); err != nil {
		return err
	}
	return generateRoles(ctx)
}

// generateAPI keeps metadata of podTemplate, which controller-gen drops otherwise.
func generateAPI(ctx context.Context) error {
	return controllerGen(ctx, "object", "applyconfiguration", "crd:generateEmbeddedObjectMeta=true",
		"paths=./"+apiDir+"/...", "output:crd:dir="+crdDir)
}

func generateRoles(ctx context.Context) error {
	return controllerGen(ctx, "rbac:roleName=sandkeep-manager", "paths=./controllers/...", "paths=./cmd/manager", "output:rbac:dir="+rbacDir)
}

func controllerGen(ctx context.Context, args ...string) error {
	cmd := exec.CommandContext(ctx, "go", append([]string{"tool", "-modfile=hack/tools/go.mod", "controller-gen"}, args...)...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("controller-gen %v: %w", args, err)
	}
	return nil
}
