//! What names and calls in a pickle of `torch.save` stand for. None of them is called.

use std::mem;

use super::{Id, Storage, Tensor, Value, machine::Machine};

/// The most bytes of a storage's key. PyTorch numbers them.
const MAX_KEY: usize = 64;
/// More dimensions than any tensor of a network has.
const MAX_DIMENSIONS: usize = 8;

impl<'a> Machine<'a> {
    /// What `torch.save` keeps outside the pickle. `("storage", class, key, device, length)` becomes a storage; where it
    /// once lived, in a GPU say, is of no interest. Files from before PyTorch 1.6 add what the storage is a part of, as a
    /// rule `None`, and say `("module", class, …)` for a class whose source they keep.
    pub(super) fn persistent(&mut self) -> Result<(), String> {
        let id = self.pop()?;
        let value = match self.description(id).as_deref() {
            Some(
                &[
                    Value::Text("storage"),
                    Value::Global("torch", class),
                    Value::Text(key),
                    Value::Text(_),
                    Value::Int(len),
                    ref rest @ ..,
                ],
            ) if class.ends_with("Storage") && key.len() <= MAX_KEY && matches!(rest, [] | [Value::None]) => {
                usize::try_from(*len).ok().map(|len| Value::Storage(Storage { class, key, len }))
            }
            Some(&[Value::Text("module"), Value::Global(module, name), ..]) => Some(Value::Global(module, name)),
            _ => None,
        };
        self.push(value.unwrap_or(Value::Opaque));
        Ok(())
    }

    /// The few calls that a state dict consists of, of which none is a call here. The result of any other is not known.
    pub(super) fn call(&mut self) -> Result<(), String> {
        let (arguments, function) = (self.pop()?, self.pop()?);
        let Value::Sequence(arguments) = &self.values[arguments] else {
            return Err("a call without a tuple of arguments".into());
        };
        let arguments: Vec<Id> = arguments.iter().take(4).copied().collect();
        let Value::Global(module, name) = self.values[function] else {
            self.push(Value::Opaque);
            return Ok(());
        };
        let value = match (module, name, arguments.as_slice()) {
            ("collections", "OrderedDict", []) => Some(Value::Dict(Vec::new())),
            ("collections", "OrderedDict", &[list]) => self.dict_of(list).map(Value::Dict),
            ("torch._utils", "_rebuild_tensor" | "_rebuild_tensor_v2", &[storage, offset, shape, strides]) => {
                self.tensor(storage, offset, shape, strides).map(Value::Tensor)
            }
            ("torch._utils", "_rebuild_parameter" | "_rebuild_parameter_with_state", &[tensor, ..])
                if matches!(self.values[tensor], Value::Tensor(_)) =>
            {
                self.stack.push(tensor);
                return Ok(());
            }
            _ => None,
        };
        self.push(value.unwrap_or(Value::Object(module, name)));
        Ok(())
    }

    /// The pairs in a list, of which Python 2 makes an `OrderedDict`. The list is emptied: a file that names it again and
    /// again must not multiply it.
    fn dict_of(&mut self, list: Id) -> Option<Vec<(Id, Id)>> {
        let Value::Sequence(pairs) = &mut self.values[list] else { return None };
        let pairs = mem::take(pairs);
        let pair = |id: Id| match &self.values[id] {
            Value::Sequence(pair) => <[Id; 2]>::try_from(pair.as_slice()).ok().map(Into::into),
            _ => None,
        };
        pairs.into_iter().map(pair).collect()
    }

    fn tensor(&self, storage: Id, offset: Id, shape: Id, strides: Id) -> Option<Tensor<'a>> {
        let Value::Storage(storage) = &self.values[storage] else { return None };
        let number = |id: Id| match self.values[id] {
            Value::Int(number) => usize::try_from(number).ok(),
            _ => None,
        };
        let numbers = |id: Id| match &self.values[id] {
            Value::Sequence(items) if items.len() <= MAX_DIMENSIONS => {
                items.iter().map(|&id| number(id)).collect::<Option<Vec<_>>>()
            }
            _ => None,
        };
        let (offset, shape, strides) = (number(offset)?, numbers(shape)?, numbers(strides)?);
        (shape.len() == strides.len()).then(|| Tensor { storage: storage.clone(), offset, shape, strides })
    }

    /// Sets an object's attributes. PyTorch gives a state dict one, `_metadata`, that nothing here needs.
    pub(super) fn attributes(&mut self) -> Result<(), String> {
        self.pop()?;
        match &self.values[self.top()?] {
            Value::Dict(_) | Value::Object(..) | Value::Opaque => Ok(()),
            _ => Err("it sets the attributes of something that has none".into()),
        }
    }

    /// A tuple's items, if it has no more than what `torch.save` keeps outside the pickle is described by.
    fn description(&self, id: Id) -> Option<Vec<&Value<'a>>> {
        match &self.values[id] {
            Value::Sequence(items) if items.len() <= 6 => Some(items.iter().map(|&id| &self.values[id]).collect()),
            _ => None,
        }
    }
}
