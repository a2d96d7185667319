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

// program has a ClusterRole, in a file, made from the markers of packages.
type program struct {
	name, file string
	packages   []string
}

var programs = []program{
	{"manager", "role.yaml", []string{"./controllers/session", "./controllers/sessionclass", "./cmd/manager"}},
	{"keeper", "keeper_role.yaml", []string{
		"./controllers/apiprovider", "./controllers/clustercredential", "./controllers/credential", "./controllers/gatewaycertificate", "./cmd/keeper",
	}},
}

func generateRoles(ctx context.Context) error {
	for _, p := range programs {
		args := []string{"rbac:roleName=sandkeep-" + p.name + ",fileName=" + p.file, "output:rbac:dir=" + rbacDir}
		for _, path := range p.packages {
			args = append(args, "paths="+path)
		}
		if err := controllerGen(ctx, args...); err != nil {
			return err
		}
	}
	return nil
}

func controllerGen(ctx context.Context, args ...string) error {
	cmd := exec.CommandContext(ctx, "go", append([]string{"tool", "-modfile=hack/tools/go.mod", "controller-gen"}, args...)...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("controller-gen %v: %w", args, err)
	}
	return nil
}
