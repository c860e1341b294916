//! The script of a command line: that of its session, or those of several that `--compose` joins, each in a function of its
//! own that is called when its turn comes.

use super::{
    Plan,
    lint::{self, Finding},
    parse, print, rewrite,
};
use crate::{
    cli::{CommandLine, Join, Part, Tree},
    error::Result,
};

/// Script text that does what the command line says.
pub fn script(line: &CommandLine) -> Result<String> {
    printed(&line.sessions, &mut plans(line)?.iter())
}

/// The plans of all sessions, from left to right; what is probably a mistake in them is told.
pub(super) fn plans(line: &CommandLine) -> Result<Vec<Plan>> {
    let mut plans: Vec<Plan> = line.sessions.parts().into_iter().map(planned).collect::<Result<_>>()?;
    let uses_stdio = |plan: &Plan| plan.stacks().any(|stack| stack.reaches_stdio());
    if plans.iter().filter(|plan| uses_stdio(plan)).count() > 1 {
        plans.iter_mut().for_each(|plan| plan.shares_stdio = true);
    }
    let own = plans.iter().flat_map(|plan| plan.findings.list().iter().cloned());
    let findings: Vec<Finding> = own.chain(lint::together(&line.sessions, &plans)).collect();
    lint::tell(&findings, &line.program)?;
    Ok(plans)
}

fn planned(part: &Part) -> Result<Plan> {
    let planned = parse(&part.args).and_then(|mut plan| rewrite(&mut plan).map(|()| plan));
    planned.map_err(|e| part.blame(e))
}

/// `plans` has those of the parts, from left to right.
fn printed<'a>(sessions: &Tree<Part>, plans: &mut impl Iterator<Item = &'a Plan>) -> Result<String> {
    let (join, trees) = match sessions {
        Tree::Part(part) => return plans.next().map_or(Ok(String::new()), print).map_err(|e| part.blame(e)),
        Tree::Joined(join, trees) => (join, trees),
    };
    let function = match join {
        Join::Parallel => "parallel",
        Join::Sequential => "sequential",
        Join::Race => "race",
    };
    let mut items = vec![];
    for tree in trees {
        let text = printed(tree, plans)?;
        items.push(match tree {
            Tree::Part(_) => format!("  task_wrap(|| {{\n{}  }})", indented(&text, "    ")),
            Tree::Joined(..) => indented(&text, "  ").trim_end().to_owned(),
        });
    }
    Ok(format!("{function}([\n{}\n])\n", items.join(",\n")))
}

/// Lines of a script further to the right. No literal goes over several lines.
fn indented(text: &str, by: &str) -> String {
    text.lines().map(|line| format!("{by}{line}\n")).collect()
}
