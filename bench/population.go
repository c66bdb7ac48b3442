package bench

import (
	"bufio"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"path/filepath"
)

// PopulationConfig sizes two agencies' records.
type PopulationConfig struct {
	// Seed decides everything: equal seeds and sizes give equal files.
	Seed uint64
	// SizeA and SizeB count each agency's records, Shared the people in both.
	SizeA, SizeB, Shared int
	// Errors is how records differ from people; nil means DefaultErrors.
	Errors *ErrorModel
}

// Population is a synthetic, multinational population as two agencies know it.
// No one in it exists: names are drawn from lists of common ones, numbers at
// random. Nothing is held in memory: each person and each record follows from
// the seed and a number.
type Population struct {
	c       PopulationConfig
	origins []origin
	a, b    order
}

// MaxPopulation bounds an agency's records.
const MaxPopulation = 1 << 28

// NewPopulation checks the sizes.
func NewPopulation(c PopulationConfig) (*Population, error) {
	for _, n := range []int{c.SizeA, c.SizeB} {
		if n < 0 || n > MaxPopulation {
			return nil, fmt.Errorf("bench: %d records are outside [0, %d]", n, MaxPopulation)
		}
	}
	if c.Shared < 0 || c.Shared > min(c.SizeA, c.SizeB) {
		return nil, fmt.Errorf("bench: %d shared people in %d and %d records", c.Shared, c.SizeA, c.SizeB)
	}
	if c.Errors == nil {
		e := DefaultErrors()
		c.Errors = &e
	}
	return &Population{
		c: c, origins: loadOrigins(),
		a: newOrder(newDraw(c.Seed, "order a", 0), c.SizeA),
		b: newOrder(newDraw(c.Seed, "order b", 0), c.SizeB),
	}, nil
}

// Side is one of the agencies.
type Side string

// The sides.
const (
	SideA Side = "a"
	SideB Side = "b"
)

// Rows yields an agency's records, as the cells of Header.
func (p *Population) Rows(side Side) iter.Seq[[]string] {
	n := p.c.SizeA
	if side == SideB {
		n = p.c.SizeB
	}
	return func(yield func([]string) bool) {
		for row := range n {
			cells, _ := p.row(side, row)
			if !yield(cells) {
				return
			}
		}
	}
}

// row returns one record and its flaws.
func (p *Population) row(side Side, row int) ([]string, flaw) {
	number := p.a.at(row)
	if side == SideB {
		// B's first numbers are the shared people, the others come after A's.
		if number = p.b.at(row); number >= p.c.Shared {
			number += p.c.SizeA - p.c.Shared
		}
	}
	r := recorder{
		draw: newDraw(p.c.Seed, "record "+string(side), number),
		e:    p.c.Errors, p: p.person(number), familyFirst: side == SideA,
	}
	ref := fmt.Sprintf("%s/%d/%06d", map[Side]string{SideA: "NORTH", SideB: "SOUTH"}[side],
		2005+r.below(20), r.below(1_000_000))
	return append([]string{id(side, row)}, r.record(ref)...), r.flaws
}

func id(side Side, row int) string { return fmt.Sprintf("%s-%08d", side, row+1) }

// person returns the person of a number: A knows those under SizeA, B those
// under Shared and from SizeA on.
func (p *Population) person(number int) *person {
	d := newDraw(p.c.Seed, "person", number)
	if number >= p.c.SizeA && p.c.SizeA > 0 && d.chance(p.c.Errors.Relatives) {
		of := d.below(p.c.SizeA)
		return newPerson(newDraw(p.c.Seed, "person", of), p.origins).relative(d)
	}
	return newPerson(d, p.origins)
}

// Pair is two records of the same person.
type Pair struct {
	A, B string
	// Flaws says what makes the pair hard to match.
	Flaws string
}

// Truth yields the pairs of records that are the same person, in the order of
// B's records.
func (p *Population) Truth() iter.Seq[Pair] {
	return func(yield func(Pair) bool) {
		for row := range p.c.SizeB {
			number := p.b.at(row)
			if number >= p.c.Shared {
				continue
			}
			rowA := p.a.place(number)
			_, inA := p.row(SideA, rowA)
			_, inB := p.row(SideB, row)
			if !yield(Pair{id(SideA, rowA), id(SideB, row), (inA | inB).String()}) {
				return
			}
		}
	}
}

// WriteCSV writes an agency's records under Header.
func (p *Population) WriteCSV(side Side, w io.Writer) error {
	return writeCSV(w, Header, p.Rows(side))
}

// WriteTruth writes the true pairs under id_a,id_b,evidence.
func (p *Population) WriteTruth(w io.Writer) error {
	return writeCSV(w, []string{"id_a", "id_b", "evidence"}, func(yield func([]string) bool) {
		for t := range p.Truth() {
			if !yield([]string{t.A, t.B, t.Flaws}) {
				return
			}
		}
	})
}

func writeCSV(w io.Writer, header []string, rows iter.Seq[[]string]) error {
	out := csv.NewWriter(w)
	if err := out.Write(header); err != nil {
		return err
	}
	for row := range rows {
		if err := out.Write(row); err != nil {
			return err
		}
	}
	out.Flush()
	return out.Error()
}

// Files of WriteFiles.
const (
	FileA     = "a.csv"
	FileB     = "b.csv"
	FileTruth = "truth.csv"
)

// WriteFiles writes both agencies' records and the truth into a folder. It
// overwrites nothing, and leaves none of the three behind after an error.
func (p *Population) WriteFiles(dir string) error {
	return p.WriteFilesContext(context.Background(), dir)
}

// WriteFilesContext is WriteFiles, which ends when the context does.
func (p *Population) WriteFilesContext(ctx context.Context, dir string) error {
	var made []string
	for _, f := range []struct {
		name  string
		write func(io.Writer) error
	}{
		{FileA, func(w io.Writer) error { return p.WriteCSV(SideA, w) }},
		{FileB, func(w io.Writer) error { return p.WriteCSV(SideB, w) }},
		{FileTruth, p.WriteTruth},
	} {
		path := filepath.Join(dir, f.name)
		created, err := writeFile(ctx, path, f.write)
		if created {
			made = append(made, path)
		}
		if err != nil {
			for _, path := range made {
				err = errors.Join(err, os.Remove(path))
			}
			return fmt.Errorf("writing the population: %w", err)
		}
	}
	return nil
}

func writeFile(ctx context.Context, path string, write func(io.Writer) error) (created bool, err error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return false, err
	}
	b := bufio.NewWriterSize(contextWriter{ctx, f}, 1<<20)
	err = write(b)
	if err == nil {
		err = b.Flush()
	}
	return true, errors.Join(err, f.Close())
}

// contextWriter writes until its context ends.
type contextWriter struct {
	ctx context.Context
	w   io.Writer
}

func (c contextWriter) Write(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.w.Write(p)
}

// order is a permutation of 0..n-1 that needs no memory: x maps to a·x + c mod
// n. It is no shuffle that would withstand anyone, but keeps shared people from
// standing together.
type order struct{ n, a, inverse, c uint64 }

func newOrder(d *draw, n int) order {
	o := order{n: uint64(n)}
	if n < 2 {
		return o
	}
	o.c = uint64(d.below(n))
	// Start near the golden section, where multiples spread evenly.
	o.a = o.n*618/1000 + uint64(d.below(n/10+1))
	for {
		if inv, ok := inverse(o.a%o.n, o.n); ok {
			o.a, o.inverse = o.a%o.n, inv
			return o
		}
		o.a++
	}
}

// at returns the number at a place. Products stay under MaxPopulation squared.
func (o order) at(place int) int {
	if o.n < 2 {
		return place
	}
	return int((o.a*uint64(place) + o.c) % o.n)
}

// place returns the place of a number.
func (o order) place(number int) int {
	if o.n < 2 {
		return number
	}
	return int((uint64(number) + o.n - o.c) % o.n * o.inverse % o.n)
}

// inverse returns 1/a modulo n by Euclid's algorithm, if there is one.
func inverse(a, n uint64) (uint64, bool) {
	r0, r1 := int64(n), int64(a)
	t0, t1 := int64(0), int64(1)
	for r1 != 0 {
		q := r0 / r1
		r0, r1 = r1, r0-q*r1
		t0, t1 = t1, t0-q*t1
	}
	if r0 != 1 {
		return 0, false
	}
	return uint64((t0 + int64(n)) % int64(n)), true
}
