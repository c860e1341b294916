//! How native functions come into an engine: through [`Native`], so that each call knows how deep the values are that it is
//! given ([`nesting`]), and says its name where that is too deep.
//!
//! Functions are what Rhai takes: with or without the context in front, the first argument by reference or not, the result a
//! [`RhResult`] or not.

use super::{RhResult, nesting};
use rhai::{Engine, NativeCallContext};
use std::any::Any;

/// A function for scripts. `Marks` tells the kinds of functions apart.
pub trait Native<Marks> {
    /// Makes it known under this name, beside others of that name which take something else.
    fn add_to(self, engine: &mut Engine, name: &'static str);
}

/// Engines that count how deep values are.
pub trait RegisterNative {
    fn register_native<Marks>(&mut self, name: &'static str, function: impl Native<Marks>);
}

impl RegisterNative for Engine {
    fn register_native<Marks>(&mut self, name: &'static str, function: impl Native<Marks>) {
        function.add_to(self, name);
    }
}

/// What a script can have.
pub trait Value: Any + Clone + Send + Sync {}
impl<T: Any + Clone + Send + Sync> Value for T {}

/// Marks functions whose result is one, that may fail, and such whose first argument is by reference.
pub struct Plain;
pub struct Failing;
pub struct Method<M>(M);
pub struct WithContext<M>(M);

macro_rules! depth {
    ($($x:expr),* $(,)?) => {{
        let depth = 0;
        $( let depth = depth.max(nesting::depth_of_argument($x)); )*
        depth
    }};
}

macro_rules! native {
    ($($t:ident $x:ident)*) => {
        native!(@ by value, Plain, R, (|r| Ok(r)), [], [], $($t $x)*);
        native!(@ by value, Failing, RhResult<R>, (|r| r), [], [], $($t $x)*);
        native!(@ by value, WithContext<Plain>, R, (|r| Ok(r)), [NativeCallContext<'_>], [ctx], $($t $x)*);
        native!(@ by value, WithContext<Failing>, RhResult<R>, (|r| r), [NativeCallContext<'_>], [ctx], $($t $x)*);
        native!(@ by reference, Method<Plain>, R, (|r| Ok(r)), [], [], $($t $x)*);
        native!(@ by reference, Method<Failing>, RhResult<R>, (|r| r), [], [], $($t $x)*);
        native!(@ by reference, Method<WithContext<Plain>>, R, (|r| Ok(r)), [NativeCallContext<'_>], [ctx], $($t $x)*);
        native!(@ by reference, Method<WithContext<Failing>>, RhResult<R>, (|r| r), [NativeCallContext<'_>], [ctx],
            $($t $x)*);
    };
    (@ by value, $mark:ty, $result:ty, ($wrap:expr), [$($context:ty)?], [$($ctx:ident)?], $($t:ident $x:ident)*) => {
        impl<Function, R: Value, $($t: Value),*> Native<($mark, R, $($t,)*)> for Function
        where
            Function: Fn($($context,)? $($t),*) -> $result + Send + Sync + 'static,
        {
            fn add_to(self, engine: &mut Engine, name: &'static str) {
                engine.register_fn(name, move |$($ctx: $context,)? $($x: $t),*| -> RhResult<R> {
                    nesting::native_call(name, depth!($(&$x),*), || $wrap(self($($ctx,)? $($x),*)))
                });
            }
        }
    };
    (@ by reference, $mark:ty, $result:ty, ($wrap:expr), [$($context:ty)?], [$($ctx:ident)?],) => {};
    (@ by reference, $mark:ty, $result:ty, ($wrap:expr), [$($context:ty)?], [$($ctx:ident)?],
        $t0:ident $x0:ident $($t:ident $x:ident)*) => {
        impl<Function, R: Value, $t0: Value, $($t: Value),*> Native<($mark, R, $t0, $($t,)*)> for Function
        where
            Function: Fn($($context,)? &mut $t0, $($t),*) -> $result + Send + Sync + 'static,
        {
            fn add_to(self, engine: &mut Engine, name: &'static str) {
                engine.register_fn(name, move |$($ctx: $context,)? $x0: &mut $t0, $($x: $t),*| -> RhResult<R> {
                    nesting::native_call(name, depth!(&*$x0, $(&$x),*), || $wrap(self($($ctx,)? $x0, $($x),*)))
                });
            }
        }
    };
}

native!();
native!(A a);
native!(A a B b);
native!(A a B b C c);
native!(A a B b C c D d);
native!(A a B b C c D d E e);
native!(A a B b C c D d E e F f);
