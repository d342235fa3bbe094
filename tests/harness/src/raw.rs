// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a bug or an attacker does: called inside of sandboxes, and nowhere else.
//!
//! Nothing here is sound, which is the point: the sandbox is what makes it harmless. The functions are written in
//! assembler so that the compiler cannot argue from their being impossible, and so that the faulting instruction is the
//! first: the instruction pointer of a fault is then the address of the function.

use core::arch::naked_asm;

/// Reads the byte at an address.
#[unsafe(naked)]
pub extern "C" fn read(address: usize) -> u8 {
    naked_asm!("movzx eax, byte ptr [rdi]", "ret")
}

/// Reads the word at an address.
#[unsafe(naked)]
pub extern "C" fn read_word(address: usize) -> u64 {
    naked_asm!("mov rax, [rdi]", "ret")
}

/// Writes a byte to an address.
#[unsafe(naked)]
pub extern "C" fn write(address: usize, byte: u8) {
    naked_asm!("mov byte ptr [rdi], sil", "ret")
}

/// Writes a word to an address.
#[unsafe(naked)]
pub extern "C" fn write_word(address: usize, word: u64) {
    naked_asm!("mov [rdi], rsi", "ret")
}

/// Goes on at an address; if that returns, so does this.
#[unsafe(naked)]
pub extern "C" fn jump(address: usize) {
    naked_asm!("jmp rdi")
}

/// Moves the stack to an address and uses it there; the second instruction faults.
#[unsafe(naked)]
pub extern "C" fn push_at(address: usize) {
    naked_asm!("mov rsp, rdi", "push rax", "ud2")
}

/// Divides by a number.
#[unsafe(naked)]
pub extern "C" fn divide(dividend: u32, divisor: u32) -> u32 {
    // The first operand stands in edx:eax, whatever that is: a fault comes before its use.
    naked_asm!("div esi", "ret")
}

/// Divides by a number, with the whole dividend in place.
#[unsafe(naked)]
pub extern "C" fn divide_by(dividend: u32, divisor: u32) -> u32 {
    naked_asm!("mov eax, edi", "xor edx, edx", "div esi", "ret")
}

/// Divides floating-point numbers.
#[unsafe(naked)]
pub extern "C" fn divide_floating(dividend: f64, divisor: f64) -> f64 {
    naked_asm!("divsd xmm0, xmm1", "ret")
}

/// Switches single-stepping on, which stops after the next instruction, [`SINGLE_STEP_LENGTH`] bytes from here.
#[unsafe(naked)]
pub extern "C" fn single_step() {
    naked_asm!("pushfq", "or dword ptr [rsp], 0x100", "popfq", "nop", "nop", "ret")
}

/// Bytes of [`single_step`] up to where it stops: 1, 7, 1 and 1.
pub const SINGLE_STEP_LENGTH: u64 = 10;

/// Spins for ever.
#[unsafe(naked)]
pub extern "C" fn spin() {
    naked_asm!("2:", "jmp 2b")
}

/// Bytes of [`spin`].
pub const SPIN_BYTES: u64 = 2;

/// Faults at its second instruction.
#[unsafe(naked)]
pub extern "C" fn fault_behind() {
    naked_asm!("nop", "ud2")
}

/// Spins for ever: as a function to be called in a sandbox.
pub fn spin_on() {
    spin();
}

/// Runs into the instruction that no processor knows: as a function to be called in a sandbox.
pub fn undefined_once() {
    undefined();
}

macro_rules! instructions {
    ($($(#[$doc:meta])* $name:ident $instruction:literal)*) => {
        $(
            $(#[$doc])*
            #[unsafe(naked)]
            pub extern "C" fn $name() {
                naked_asm!($instruction, "ret")
            }
        )*
    };
}

instructions! {
    /// The instruction that no processor knows.
    undefined "ud2"
    /// A breakpoint.
    breakpoint "int3"
    /// An interrupt by its number, as Linux's old system call.
    interrupt_128 "int 0x80"
    /// The timer's interrupt by its number.
    interrupt_32 "int 0x20"
    /// Stops the processor: privileged.
    halt "hlt"
    /// Switches interrupts off: privileged.
    disable_interrupts "cli"
    /// Loads an address space: privileged.
    load_page_tables "mov cr3, rax"
    /// Reads a control register: privileged.
    read_control "mov rax, cr0"
    /// Writes a model-specific register: privileged.
    write_msr "wrmsr"
    /// Reads a model-specific register: privileged.
    read_msr "rdmsr"
    /// Reads an I/O port: a matter of I/O rights.
    port_in "in al, dx"
    /// Writes an I/O port: a matter of I/O rights.
    port_out "out dx, al"
    /// Loads the interrupt table: privileged.
    load_interrupts "lidt [rsp]"
    /// Throws a translation away: privileged.
    invalidate "invlpg [rsp]"
    /// Exchanges the kernel's and the user's base: privileged.
    swap_base "swapgs"
    /// Writes back the caches: privileged.
    write_back "wbinvd"
    /// Enters a hypervisor that is not there.
    enter_hypervisor "vmcall"
}

/// What a system call brought: head, badge and the first words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub struct Message {
    /// The head of the message.
    pub info: u64,
    /// The badge.
    pub badge: u64,
    /// Its first words.
    pub words: [u64; 4],
}

/// Makes any system call with any registers.
pub fn system_call(number: i64, cptr: u64, info: u64, words: [u64; 4]) -> Message {
    let mut message = Message { info, badge: cptr, words };
    system_call_at(&raw mut message, number);
    message
}

/// Makes a system call with the registers that stand in `message`, and leaves there what it brought.
#[unsafe(naked)]
extern "C" fn system_call_at(message: *mut Message, number: i64) {
    naked_asm!(
        "push r15",
        "push r14",
        "push r13",
        "mov r13, rdi",
        "mov rdx, rsi",
        "mov rsi, [r13]",
        "mov rdi, [r13 + 8]",
        "mov r10, [r13 + 16]",
        "mov r8, [r13 + 24]",
        "mov r9, [r13 + 32]",
        "mov r15, [r13 + 40]",
        "mov r14, rsp",
        "syscall",
        "mov rsp, r14",
        "mov [r13], rsi",
        "mov [r13 + 8], rdi",
        "mov [r13 + 16], r10",
        "mov [r13 + 24], r8",
        "mov [r13 + 32], r9",
        "mov [r13 + 40], r15",
        "pop r13",
        "pop r14",
        "pop r15",
        "ret",
    )
}

/// Makes a system call with this number and this word in `rax`, as the allocator of a guarded heap does, and comes back where
/// that is answered.
#[unsafe(naked)]
pub extern "C" fn ask(number: u64, word: u64) {
    naked_asm!(
        "mov rdx, rdi",
        "mov rax, rsi",
        "mov r8, rsp",
        "mov r9, rbx",
        "syscall",
        "mov rsp, r8",
        "mov rbx, r9",
        "ret",
    )
}

/// Goes round `times` times with registers that ask for a system call, makes none, and returns what the first of them
/// holds then. All instructions are as long as a system call, so that whoever is moved behind one still ends.
#[unsafe(naked)]
pub extern "C" fn spin_with_registers(cptr: u64, info: u64, number: i64, times: u32) -> u64 {
    naked_asm!("2:", "dec ecx", "jnz 2b", "mov rax, rdi", "ret")
}

/// Yields for ever by the system call that stands at `wait`, where a sandbox's thread waits for calls, and counts the
/// rounds in the word at `counter`.
#[unsafe(naked)]
pub extern "C" fn yield_at(wait: u64, counter: usize) {
    naked_asm!(
        "mov r12, rdi",
        // The code behind the system call takes its stack from rbx and calls r10.
        "mov r8, rsi",
        "lea r10, [rip + 2f]",
        "mov rbx, rsp",
        "2:",
        "inc qword ptr [r8]",
        "mov rsp, rbx",
        "mov rdx, {number}",
        "mov edi, {endpoint}",
        "jmp r12",
        number = const sel4::syscall::YIELD,
        endpoint = const sbm_abi::limits::SANDBOX_ENDPOINT_SLOT,
    )
}

/// Makes a system call by its number alone; it must not come back.
#[unsafe(naked)]
pub extern "C" fn stray_system_call(cptr: u64, info: u64, number: i64) {
    naked_asm!("syscall", "ud2")
}

/// Makes a system call with single-stepping switched on just before it; it must not come back.
#[unsafe(naked)]
pub extern "C" fn stepped_system_call(cptr: u64, info: u64, number: i64) {
    naked_asm!("pushfq", "or dword ptr [rsp], 0x100", "popfq", "syscall", "ud2")
}

/// Returns the word at an offset of the sandbox's argument page, which the base of `fs` points to.
#[unsafe(naked)]
pub extern "C" fn argument_page_word(offset: usize) -> u64 {
    naked_asm!("mov rax, fs:[rdi]", "ret")
}

/// Moves the base of `fs`, by which the library finds the argument page.
#[unsafe(naked)]
pub extern "C" fn move_fs_base(address: usize) {
    naked_asm!("wrfsbase rdi", "ret")
}

/// Returns the stack pointer.
#[unsafe(naked)]
pub extern "C" fn stack_pointer() -> usize {
    naked_asm!("mov rax, rsp", "ret")
}

/// Loads the control register of floating-point arithmetic.
#[unsafe(naked)]
pub extern "C" fn set_float_control(control: &u32) {
    naked_asm!("ldmxcsr [rdi]", "ret")
}

/// Loads the control word of the x87 coprocessor.
#[unsafe(naked)]
pub extern "C" fn set_coprocessor_control(control: &u16) {
    naked_asm!("fldcw [rdi]", "ret")
}

/// Reads the control word of the x87 coprocessor.
#[unsafe(naked)]
pub extern "C" fn coprocessor_control(control: &mut u16) {
    naked_asm!("fnstcw [rdi]", "ret")
}

/// Reads the control register of floating-point arithmetic.
#[unsafe(naked)]
pub extern "C" fn float_control(control: &mut u32) {
    naked_asm!("stmxcsr [rdi]", "ret")
}

/// Fills the general registers that a caller may find changed; the others would have to be given back.
#[unsafe(naked)]
pub extern "C" fn fill_registers(word: u64) {
    naked_asm!(
        "mov rbp, rdi",
        "mov r12, rdi",
        "mov r13, rdi",
        "mov r14, rdi",
        "mov r15, rdi",
        // What waits for the next call keeps its state in rsp alone.
        "ret",
    )
}

/// Returns what the general registers have in common that no function has used yet.
#[unsafe(naked)]
pub extern "C" fn or_of_registers() -> u64 {
    naked_asm!("mov rax, r12", "or rax, r13", "or rax, r14", "or rax, rbp", "ret")
}

/// Fills vector registers with a word.
#[unsafe(naked)]
pub extern "C" fn fill_vectors(word: u64) {
    naked_asm!(
        "movq xmm0, rdi",
        "movlhps xmm0, xmm0",
        "movaps xmm7, xmm0",
        "movaps xmm12, xmm0",
        "movaps xmm15, xmm0",
        "ret",
    )
}

/// Returns words of vector registers that functions leave alone.
#[unsafe(naked)]
pub extern "C" fn vector_words(words: &mut [u64; 2]) {
    naked_asm!("movq [rdi], xmm12", "movq [rdi + 8], xmm15", "ret")
}

/// Leaves a word in registers of the x87 coprocessor, as MMX does.
#[unsafe(naked)]
pub extern "C" fn fill_coprocessor(word: u64) {
    naked_asm!("movq mm0, rdi", "movq mm5, rdi", "ret")
}

/// Returns a word of the x87 coprocessor's registers.
#[unsafe(naked)]
pub extern "C" fn coprocessor_word() -> u64 {
    naked_asm!("movq rax, mm5", "emms", "ret")
}

/// Fills the upper halves of 256-bit vector registers with a word, on a kernel that saves them.
#[unsafe(naked)]
pub extern "C" fn fill_wide_vectors(word: u64) {
    naked_asm!(
        "vmovq xmm0, rdi",
        "vpunpcklqdq xmm0, xmm0, xmm0",
        "vinsertf128 ymm12, ymm0, xmm0, 1",
        "vinsertf128 ymm15, ymm0, xmm0, 1",
        "ret",
    )
}

/// Returns words of the upper halves of 256-bit vector registers that functions leave alone.
#[unsafe(naked)]
pub extern "C" fn wide_vector_words(words: &mut [u64; 2]) {
    naked_asm!(
        "vextractf128 xmm0, ymm12, 1",
        "vmovq [rdi], xmm0",
        "vextractf128 xmm0, ymm15, 1",
        "vmovq [rdi + 8], xmm0",
        "ret",
    )
}

/// Returns which registers the kernel saves by `xsave`: XCR0 (Intel SDM volume 1, 13.3). Only on a kernel that does.
#[unsafe(naked)]
pub extern "C" fn saved_features() -> u32 {
    naked_asm!("xor ecx, ecx", "xgetbv", "ret")
}

/// Loads the stack's selector, which any user code may load, into DS and ES.
#[unsafe(naked)]
pub extern "C" fn fill_segments() {
    naked_asm!("mov eax, ss", "mov ds, eax", "mov es, eax", "ret")
}

/// Returns the selectors in DS and ES.
#[unsafe(naked)]
pub extern "C" fn segments() -> u32 {
    naked_asm!("xor ecx, ecx", "mov cx, ds", "shl ecx, 16", "mov eax, es", "movzx eax, ax", "or eax, ecx", "ret")
}

/// Loads empty selectors into the segment registers.
#[unsafe(naked)]
pub extern "C" fn clear_segments() {
    naked_asm!("xor eax, eax", "mov ds, ax", "mov es, ax", "mov gs, ax", "mov fs, ax", "ret")
}
