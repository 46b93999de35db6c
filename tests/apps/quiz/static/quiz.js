document.querySelectorAll("input[type=radio]").forEach((input) => {
  input.addEventListener("change", () => document.querySelector("form button").focus());
});
