package schema

import (
	"context"
	"errors"
	"fmt"
	"os"
	"testing"

	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/install"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	structuralschema "k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/defaulting"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/listtype"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/pruning"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/validation"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
	celconfig "k8s.io/apiserver/pkg/apis/cel"
	"sigs.k8s.io/yaml"

	"github.com/sandkeep/sandkeep/test/cluster"
)

// definitions are the CustomResourceDefinitions by Kind: a server in this process, made of the parts of the real one.
type definitions map[string]*definition

// definition is a CustomResourceDefinition, ready to validate objects.
type definition struct {
	crd        *apiextensionsv1.CustomResourceDefinition
	internal   *apiextensions.CustomResourceDefinition
	structural *structuralschema.Structural
	values     validation.SchemaValidator
	rules      *cel.Validator
}

func readDefinitions(t *testing.T) definitions {
	t.Helper()
	all := definitions{}
	for _, path := range cluster.CRDFiles(t) {
		d, err := readDefinition(path)
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		all[d.crd.Spec.Names.Kind] = d
	}
	return all
}

func readDefinition(path string) (*definition, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	d := &definition{crd: &apiextensionsv1.CustomResourceDefinition{}, internal: &apiextensions.CustomResourceDefinition{}}
	if err := yaml.UnmarshalStrict(content, d.crd); err != nil {
		return nil, err
	}
	scheme := runtime.NewScheme()
	install.Install(scheme)
	stored := d.crd.DeepCopy()
	stored.Status.StoredVersions = []string{"v1alpha1"}
	scheme.Default(stored)
	if err := scheme.Convert(stored, d.internal, nil); err != nil {
		return nil, err
	}
	return d, d.prepare()
}

// prepare makes the validators that the API server makes of a schema.
func (d *definition) prepare() error {
	var schema apiextensions.JSONSchemaProps
	err := apiextensionsv1.Convert_v1_JSONSchemaProps_To_apiextensions_JSONSchemaProps(d.schema(), &schema, nil)
	if err != nil {
		return err
	}
	if d.structural, err = structuralschema.NewStructural(&schema); err != nil {
		return err
	}
	if d.values, _, err = validation.NewSchemaValidator(&schema); err != nil {
		return err
	}
	d.rules = cel.NewValidator(d.structural, true, celconfig.PerCallLimit)
	return nil
}

func (d *definition) schema() *apiextensionsv1.JSONSchemaProps {
	return d.crd.Spec.Versions[0].Schema.OpenAPIV3Schema
}

func (all definitions) store(t *testing.T, before, object *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	t.Helper()
	stored, _, err := all.validate(t.Context(), before, object)
	return stored, err
}

// validate also returns what the rules cost of the budget that the API server grants the rules of one object together.
func (all definitions) validate(ctx context.Context, before, object *unstructured.Unstructured) (*unstructured.Unstructured, int64, error) {
	d, known := all[object.GetKind()]
	if !known {
		return nil, 0, fmt.Errorf("no CRD for Kind %q", object.GetKind())
	}
	stored := object.DeepCopy()
	unknown := pruning.PruneWithOptions(stored.Object, d.structural, true, structuralschema.UnknownFieldPathOptions{TrackUnknownFieldPaths: true})
	if len(unknown) > 0 {
		return nil, 0, fmt.Errorf("unknown fields %q", unknown)
	}
	defaulting.Default(stored.Object, d.structural)
	if err := d.checkValues(stored); err != nil {
		return nil, 0, err
	}
	var old any
	if before != nil {
		old = before.Object
	}
	broken, left := d.rules.Validate(ctx, nil, d.structural, stored.Object, old, celconfig.RuntimeCELCostBudget)
	return stored, celconfig.RuntimeCELCostBudget - left, errors.Join(broken.ToAggregate())
}

// checkValues checks what the API server checks before any rule.
func (d *definition) checkValues(object *unstructured.Unstructured) error {
	var wrong field.ErrorList
	wrong = append(wrong, validation.ValidateCustomResource(nil, object.Object, d.values)...)
	wrong = append(wrong, listtype.ValidateListSetsAndMaps(nil, d.structural, object.Object)...)
	return errors.Join(wrong.ToAggregate())
}
