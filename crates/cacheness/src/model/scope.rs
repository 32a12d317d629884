//! Which models a query reads, as types: `A`, or with joined models `(A, B)`, `((A, B), C)`.

use cacheness_core::Result;
use cacheness_core::backend::Schema;

use super::{Entries, MetadataModel, RowReader};

/// The models of a query: one, or a pair of the models so far and a joined one.
pub trait Shape {
    /// What a row of the result is: a value of the model, or a pair.
    type Row;

    /// Adds the tables.
    #[doc(hidden)]
    fn tables(into: &mut Vec<&'static Schema>) -> Result<()>;

    /// Reads a row of the result.
    #[doc(hidden)]
    fn read(reader: &mut RowReader<'_>) -> Result<Self::Row>;
}

impl<M: MetadataModel> Shape for M {
    type Row = M;

    fn tables(into: &mut Vec<&'static Schema>) -> Result<()> {
        into.push(M::schema()?);
        Ok(())
    }

    fn read(reader: &mut RowReader<'_>) -> Result<M> {
        M::from_row(reader)
    }
}

impl<S: Shape, M: MetadataModel> Shape for (S, M) {
    type Row = (S::Row, M);

    fn tables(into: &mut Vec<&'static Schema>) -> Result<()> {
        S::tables(into)?;
        M::tables(into)
    }

    fn read(reader: &mut RowReader<'_>) -> Result<Self::Row> {
        Ok((S::read(reader)?, M::from_row(reader)?))
    }
}

/// A query that reads the model `M`, so that its conditions and its order may ask about it. The compiler finds out `Place`.
#[diagnostic::on_unimplemented(
    message = "the query does not read the model `{M}`",
    note = "read it beside the others: `.join::<{M}>()`"
)]
pub trait Contains<M, Place> {}

/// The only model of a query.
#[derive(Clone, Copy, Debug)]
pub enum Sole {}

/// The model that was joined last.
#[derive(Clone, Copy, Debug)]
pub enum Here {}

/// A model from before.
#[derive(Clone, Copy, Debug)]
pub struct There<Place>(Place);

/// The entries, which every query may ask about.
#[derive(Clone, Copy, Debug)]
pub enum Always {}

impl<M: MetadataModel> Contains<M, Sole> for M {}
impl<S, M: MetadataModel> Contains<M, Here> for (S, M) {}
impl<S: Contains<M, Place>, J, M: MetadataModel, Place> Contains<M, There<Place>> for (S, J) {}
impl<S: Shape> Contains<Entries, Always> for S {}
