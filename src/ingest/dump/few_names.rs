//! FewNames: names that the program itself gives, numbered as they come, so that a million things can tell theirs in a byte.

#[derive(Debug, Default)]
pub struct FewNames(Vec<&'static str>);

impl FewNames {
    /// The number of a name, which it gets where it has none.
    pub fn number_of(&mut self, name: &'static str) -> u8 {
        let known = self.0.iter().position(|known| *known == name);
        known.unwrap_or_else(|| {
            self.0.push(name);
            self.0.len() - 1
        }) as u8
    }

    pub fn get(&self, number: u8) -> Option<&'static str> {
        self.0.get(usize::from(number)).copied()
    }
}
